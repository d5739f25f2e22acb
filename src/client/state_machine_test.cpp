// Every operation from every state that it can be asked in, and what the machine's own doings change.
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include "client/test_machine.h"

namespace alcove::client {
namespace {

using State = VirtualMachineState;
using testing::ElementsAre;
using testing::HasSubstr;

class StateMachine : public MachineTest {};

constexpr auto kRefused = ErrorCode::invalid_virtual_machine_state;
constexpr auto kChanged = ErrorCode::invalid_virtual_machine_state_transition;

void expect_abilities(const VirtualMachine& machine, bool start, bool pause, bool resume, bool stop,
                      bool request_stop) {
  EXPECT_EQ(machine.can_start(), start) << to_string(machine.state());
  EXPECT_EQ(machine.can_pause(), pause) << to_string(machine.state());
  EXPECT_EQ(machine.can_resume(), resume) << to_string(machine.state());
  EXPECT_EQ(machine.can_stop(), stop) << to_string(machine.state());
  EXPECT_EQ(machine.can_request_stop(), request_stop) << to_string(machine.state());
}

TEST_F(StateMachine, Stopped) {
  auto machine = create();
  EXPECT_EQ(machine->state(), State::stopped);
  expect_abilities(*machine, true, false, false, false, false);
  EXPECT_EQ(code_of(pause(*machine)), kRefused);
  EXPECT_EQ(code_of(resume(*machine)), kRefused);
  EXPECT_EQ(code_of(stop(*machine)), kRefused);
  EXPECT_EQ(code_of(machine->request_stop()), kRefused);
  EXPECT_EQ(machine->process_id(), 0);
  EXPECT_EQ(machine->resident_memory_size(), 0u);
  EXPECT_EQ(machine->processor_time().count(), 0);
}

TEST_F(StateMachine, Running) {
  auto machine = running();
  EXPECT_EQ(machine->state(), State::running);
  expect_abilities(*machine, false, true, false, true, true);
  EXPECT_EQ(code_of(start(*machine)), kRefused);
  EXPECT_EQ(code_of(resume(*machine)), kRefused);
  EXPECT_TRUE(machine->request_stop());
  EXPECT_EQ(machine->state(), State::running) << "a request of which the guest does nothing";
  EXPECT_GT(machine->process_id(), 0);
  EXPECT_GT(machine->resident_memory_size(), 0u);
  EXPECT_GT(machine->processor_time().count(), 0);
  EXPECT_EQ(machine->hypervisor(), "fake");
  EXPECT_TRUE(stop(*machine));
  EXPECT_EQ(machine->state(), State::stopped);
  EXPECT_EQ(machine->process_id(), 0);
  EXPECT_EQ(machine->hypervisor(), "");
}

TEST_F(StateMachine, Paused) {
  auto machine = running();
  ASSERT_TRUE(pause(*machine));
  EXPECT_EQ(machine->state(), State::paused);
  expect_abilities(*machine, false, false, true, true, false);
  EXPECT_EQ(code_of(start(*machine)), kRefused);
  EXPECT_EQ(code_of(pause(*machine)), kRefused);
  EXPECT_EQ(code_of(machine->request_stop()), kRefused);
  EXPECT_TRUE(resume(*machine));
  EXPECT_EQ(machine->state(), State::running);
  ASSERT_TRUE(pause(*machine));
  EXPECT_TRUE(stop(*machine));
  EXPECT_EQ(machine->state(), State::stopped);
}

TEST_F(StateMachine, ShutdownSaysWhatWorked) {
  const auto shut_down = [](VirtualMachine& machine, std::chrono::milliseconds grace) {
    Outcome<ShutdownMeans> outcome;
    machine.shutdown(grace, outcome.completion());
    return outcome.get();
  };
  auto machine = running("stop_on_request");
  EXPECT_EQ(shut_down(*machine, kPatience), ShutdownMeans::power_button);
  EXPECT_EQ(machine->state(), State::stopped);
  const auto refused = shut_down(*machine, kPatience);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kRefused);

  machine = running();
  EXPECT_EQ(shut_down(*machine, std::chrono::milliseconds(10)), ShutdownMeans::stop);
  EXPECT_EQ(machine->state(), State::stopped);

  machine = running("stop_on_request");
  ASSERT_TRUE(pause(*machine));
  EXPECT_EQ(shut_down(*machine, kPatience), ShutdownMeans::stop) << "a paused guest can't hear";

  machine = running();
  Outcome<ShutdownMeans> first, second;
  machine->shutdown(kPatience, first.completion());
  machine->shutdown(std::chrono::milliseconds(-1), second.completion());
  EXPECT_EQ(second.get(), ShutdownMeans::stop);
  EXPECT_EQ(first.get(), ShutdownMeans::stop);

  machine = running();
  Outcome<ShutdownMeans> cancelled, failed;
  machine->shutdown(kPatience, cancelled.completion());
  machine.reset();
  EXPECT_EQ(cancelled.get().error().code, ErrorCode::operation_cancelled);

  machine = running();
  machine->shutdown(kPatience, failed.completion());
  ::kill(machine->process_id(), SIGKILL);
  EXPECT_THAT(failed.get().error().message(), HasSubstr("SIGKILL"));
}

// A second request is judged by the state in between, which allows nothing.
TEST_F(StateMachine, Between) {
  auto machine = create();
  Outcome started;
  machine->start(started.completion());
  const auto expect_refusals = [&](State state) {
    EXPECT_EQ(machine->state(), state);
    expect_abilities(*machine, false, false, false, false, false);
    Outcome start_again, pause_too, resume_too, stop_too;
    machine->start(start_again.completion());
    machine->pause(pause_too.completion());
    machine->resume(resume_too.completion());
    machine->stop(stop_too.completion());
    EXPECT_EQ(code_of(machine->request_stop()), kRefused);
    for (Outcome<>* outcome : {&start_again, &pause_too, &resume_too, &stop_too}) {
      EXPECT_EQ(code_of(outcome->get()), kRefused);
    }
  };
  EXPECT_EQ(machine->state(), State::starting);
  expect_abilities(*machine, false, false, false, false, false);
  EXPECT_EQ(code_of(pause(*machine)), kRefused);
  EXPECT_TRUE(started.get());
  Outcome paused;
  machine->pause(paused.completion());
  expect_refusals(State::pausing);
  EXPECT_TRUE(paused.get());
  Outcome stopped;
  machine->stop(stopped.completion());
  EXPECT_EQ(machine->state(), State::stopping);
  expect_abilities(*machine, false, false, false, false, false);
  EXPECT_EQ(code_of(start(*machine)), kRefused);
  EXPECT_TRUE(stopped.get());
}

TEST_F(StateMachine, StartsAgainAndAgain) {
  auto machine = create();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(start(*machine));
    ASSERT_TRUE(stop(*machine));
  }
}

TEST_F(StateMachine, FailedStartLeavesStopped) {
  auto machine = create("fail_start");
  auto started = start(*machine);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error(),
            (Error{ErrorCode::not_supported, "boot_loader.kernel", "is a cake", "take a kernel"}));
  EXPECT_EQ(machine->state(), State::stopped);
  EXPECT_FALSE(machine->error());
  EXPECT_TRUE(machine->can_start());
}

TEST_F(StateMachine, FailedPauseLeavesRunning) {
  auto machine = running("fail_pause");
  EXPECT_EQ(code_of(pause(*machine)), ErrorCode::internal);
  EXPECT_EQ(machine->state(), State::running);
  EXPECT_TRUE(stop(*machine));
}

TEST_F(StateMachine, GuestStopsMeanwhile) {
  auto machine = running("stop_in_pause");
  EXPECT_EQ(code_of(pause(*machine)), kChanged);
  EXPECT_TRUE(machine->wait_until_stopped());
  EXPECT_EQ(machine->state(), State::stopped);
}

TEST_F(StateMachine, MachineFailsMeanwhile) {
  auto machine = running("error_in_pause");
  EXPECT_EQ(code_of(pause(*machine)), kChanged);
  EXPECT_EQ(machine->wait_until_stopped().error().message(), "cpu: it burns");
  EXPECT_EQ(machine->state(), State::error);
}

TEST_F(StateMachine, ProcessDiesDuringRequest) {
  auto machine = running("die_in_pause");
  EXPECT_EQ(code_of(pause(*machine)), kChanged);
  EXPECT_EQ(machine->state(), State::error);
  ASSERT_TRUE(machine->error());
  EXPECT_THAT(machine->error()->message(), HasSubstr("was killed by SIGSEGV: these are my last words"));
  EXPECT_EQ(machine->wait_until_stopped().error(), *machine->error());
  expect_abilities(*machine, true, false, false, false, false);
}

TEST_F(StateMachine, ProcessDiesInStart) {
  auto machine = create("die_in_start");
  auto started = start(*machine);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().what, HasSubstr("was killed by SIGSEGV"));
  EXPECT_EQ(machine->state(), State::error);
}

TEST_F(StateMachine, KilledProcessIsAnErrorOfThatMachineAlone) {
  auto other = running();
  auto machine = running();
  std::promise<Error> reported;
  auto observation =
      machine->observe({.did_stop_with_error = [&](const Error& error) { reported.set_value(error); }});
  ASSERT_EQ(::kill(machine->process_id(), SIGKILL), 0);
  auto future = reported.get_future();
  ASSERT_EQ(future.wait_for(kPatience), std::future_status::ready);
  EXPECT_THAT(future.get().what, HasSubstr("was killed by SIGKILL"));
  EXPECT_EQ(machine->state(), State::error);
  EXPECT_EQ(other->state(), State::running);
  EXPECT_TRUE(pause(*other));
  EXPECT_TRUE(start(*machine)) << "a machine in error starts afresh";
  EXPECT_FALSE(machine->error());
  EXPECT_TRUE(stop(*machine));
}

TEST_F(StateMachine, StopWinsOverDeath) {
  auto machine = running("hang_in_stop");
  Outcome stopped;
  machine->stop(stopped.completion());
  ASSERT_EQ(::kill(machine->process_id(), SIGKILL), 0);
  EXPECT_TRUE(stopped.get());
  EXPECT_EQ(machine->state(), State::stopped);
}

// Collects what observers are told.
struct Log {
  VirtualMachineObserver observer() {
    return {
        .state_changed = [this](State state) { add(std::string(to_string(state))); },
        .guest_did_stop = [this] { add("guest_did_stop"); },
        .did_stop_with_error = [this](const Error& error) { add("did_stop_with_error: " + error.message()); },
        .guest_did_reboot = [this] { add("guest_did_reboot"); },
        .network_addresses_changed =
            [this](NetworkDevice& device) { add("addresses of " + device.mac_address().string()); }};
  }
  void add(std::string line) {
    const std::lock_guard lock(mutex);
    lines.push_back(std::move(line));
  }
  std::vector<std::string> take() {
    const std::lock_guard lock(mutex);
    return std::exchange(lines, {});
  }
  // Waits until there is that line, and gives all.
  std::vector<std::string> take_through(const std::string& last) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      {
        const std::lock_guard lock(mutex);
        if (std::ranges::find(lines, last) != lines.end()) return std::exchange(lines, {});
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return take();
  }
  std::mutex mutex;
  std::vector<std::string> lines;
};

TEST_F(StateMachine, ObserversSeeEveryState) {
  auto machine = create();
  Log log;
  auto observation = machine->observe(log.observer());
  ASSERT_TRUE(start(*machine));
  ASSERT_TRUE(pause(*machine));
  ASSERT_TRUE(resume(*machine));
  ASSERT_TRUE(stop(*machine));
  EXPECT_THAT(log.take(), ElementsAre("starting", "running", "pausing", "paused", "resuming", "running",
                                      "stopping", "stopped"));
}

TEST_F(StateMachine, GuestPowersOff) {
  auto machine = create("stop_on_request");
  Log log;
  auto observation = machine->observe(log.observer());
  ASSERT_TRUE(start(*machine));
  ASSERT_TRUE(machine->request_stop());
  EXPECT_TRUE(machine->wait_until_stopped());
  EXPECT_THAT(log.take_through("guest_did_stop"),
              ElementsAre("starting", "running", "stopping", "stopped", "guest_did_stop"));
}

TEST_F(StateMachine, MachineFails) {
  auto machine = create("error_soon");
  Log log;
  auto observation = machine->observe(log.observer());
  ASSERT_TRUE(start(*machine));
  EXPECT_EQ(code_of(machine->wait_until_stopped()), ErrorCode::internal);
  EXPECT_THAT(log.take_through("did_stop_with_error: cpu: it burns"),
              ElementsAre("starting", "running", "stopping", "error", "did_stop_with_error: cpu: it burns"));
}

TEST_F(StateMachine, GuestReboots) {
  auto machine = create("reboot_soon");
  Log log;
  auto observation = machine->observe(log.observer());
  ASSERT_TRUE(start(*machine));
  EXPECT_THAT(log.take_through("guest_did_reboot"), ElementsAre("starting", "running", "guest_did_reboot"));
  EXPECT_EQ(machine->state(), State::running);
}

TEST_F(StateMachine, EndedObservationsAreSilent) {
  auto machine = create();
  Log log;
  {
    auto observation = machine->observe(log.observer());
  }
  auto observation = machine->observe({});
  ASSERT_TRUE(start(*machine));
  EXPECT_THAT(log.take(), ElementsAre());
}

TEST_F(StateMachine, AnObserverMayEndItself) {
  auto machine = create();
  std::atomic<int> calls = 0;
  Observation observation;
  observation = machine->observe({.state_changed = [&](State) {
    ++calls;
    observation = {};
  }});
  ASSERT_TRUE(start(*machine));
  EXPECT_EQ(calls, 1);
}

TEST_F(StateMachine, StartOptionsBootOnceWithAnotherLoader) {
  auto machine = create();
  VirtualMachineStartOptions options{
      .boot_loader = LinuxBootLoader{.kernel = folder / "kernel", .command_line = "fail_start"}};
  Outcome outcome;
  machine->start(std::move(options), outcome.completion());
  EXPECT_EQ(code_of(outcome.get()), ErrorCode::not_supported);
  EXPECT_TRUE(start(*machine));
}

// --- Destruction -------------------------------------------------------------------------------------------

TEST_F(StateMachine, DestructionEndsTheProcess) {
  auto machine = running();
  const int pid = machine->process_id();
  machine.reset();
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(StateMachine, DestructionCancelsWhatIsUnderWay) {
  auto machine = create("hang_in_start");
  Outcome started;
  machine->start(started.completion());
  machine.reset();
  EXPECT_EQ(code_of(started.get()), ErrorCode::operation_cancelled);
}

TEST_F(StateMachine, DestructionRightAfterStart) {
  for (int i = 0; i < 20; ++i) {
    auto machine = create();
    Outcome started;
    machine->start(started.completion());
    std::this_thread::sleep_for(std::chrono::microseconds(500 * i));
    machine.reset();
    const auto result = started.get();
    EXPECT_TRUE(result || result.error().code == ErrorCode::operation_cancelled) << result.error().message();
  }
}

TEST_F(StateMachine, DestructionByItsOwnCompletion) {
  auto machine = running();
  std::promise<void> destroyed;
  machine->pause([&](const Result<>&) {
    machine.reset();
    destroyed.set_value();
  });
  EXPECT_EQ(destroyed.get_future().wait_for(kPatience), std::future_status::ready);
}

// An executor of the caller's that runs only when told.
class ManualExecutor final : public SerialExecutor {
 public:
  void post(std::move_only_function<void()> task) override {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  bool run_one() {
    std::unique_lock lock(mutex_);
    if (tasks_.empty()) return false;
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    return true;
  }
  void run_until(const auto& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      if (!run_one()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  size_t size() {
    const std::lock_guard lock(mutex_);
    return tasks_.size();
  }

 private:
  std::mutex mutex_;
  std::deque<std::move_only_function<void()>> tasks_;
};

TEST_F(StateMachine, CallersExecutorRunsEverything) {
  auto executor = std::make_shared<ManualExecutor>();
  auto machine =
      VirtualMachine::create(configuration(), {.executor = executor, .machine_program = ALCOVE_FAKE_VM})
          .value();
  bool called = false;
  const auto here = std::this_thread::get_id();
  machine->start([&](const Result<>& result) {
    called = true;
    EXPECT_TRUE(result);
    EXPECT_EQ(std::this_thread::get_id(), here);
  });
  EXPECT_FALSE(called) << "never inside the call";
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!called && std::chrono::steady_clock::now() < deadline) {
    if (!executor->run_one()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(called);
  EXPECT_EQ(machine->state(), State::running);
  int cancelled = 0;
  machine->pause(
      [&](const Result<>& result) { cancelled += code_of(result) == ErrorCode::operation_cancelled; });
  machine.reset();
  while (executor->run_one()) {
  }
  EXPECT_EQ(cancelled, 1);
}

// The guest makes more happen than the executor is told while it runs nothing.
struct Flood : MachineTest {
  void start_with(const std::string& words) {
    machine = VirtualMachine::create(configuration(words),
                                     {.executor = executor, .machine_program = ALCOVE_FAKE_VM})
                  .value();
    observation = machine->observe(
        {.guest_did_stop = [this] { stopped = true; }, .guest_did_reboot = [this] { ++reboots; }});
    bool started = false;
    machine->start([&](const Result<>& result) { started = result.has_value(); });
    executor->run_until([&] { return started; });
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (executor->size() < 1000 && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_GE(executor->size(), 1000u);
    // A process that has died has left what its socket holds.
    EXPECT_LE(executor->size(), 3000u);
  }

  const std::shared_ptr<ManualExecutor> executor = std::make_shared<ManualExecutor>();
  std::unique_ptr<VirtualMachine> machine;
  Observation observation;
  bool stopped = false;
  int reboots = 0;
};

TEST_F(Flood, WaitsForTheExecutor) {
  start_with("chatter and_stop");
  executor->run_until([&] { return machine->state() == State::stopped; });
  while (executor->run_one()) {
  }
  EXPECT_TRUE(stopped);
  EXPECT_GT(reboots, 3000) << "what was not told then is told now";
}

TEST_F(Flood, DoesNotHideTheMachinesEnd) {
  start_with("chatter and_die");
  executor->run_until([&] { return machine->state() == State::error; });
  EXPECT_THAT(machine->error()->what, HasSubstr("these are my last words"));
}

TEST_F(Flood, HoldsNobodyUp) {
  start_with("chatter");
  bool paused = false;
  machine->pause([&](const Result<>& result) { paused = result.has_value(); });
  executor->run_until([&] { return paused; });
  bool cancelled = false;
  machine->resume([&](const Result<>& result) { cancelled = !result; });
  machine.reset();
  while (executor->run_one()) {
  }
  EXPECT_TRUE(cancelled);
}

}  // namespace
}  // namespace alcove::client
