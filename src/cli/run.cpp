#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include "cli/commands.h"
#include "cli/escape_filter.h"
#include "cli/guest_console.h"
#include "cli/machine_view.h"
#include "cli/output.h"
#include "cli/running_machine.h"
#include "cli/terminal.h"

namespace alcove::cli {

namespace {

// One line of ours between the guest's, whatever column that left the cursor in.
void say(std::string_view text) {
  fmt::print(stderr, "\n[alcove: {}]\n", text);
}

void say_failure(const Result<>& result) {
  if (!result) say(result.error().message());
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      pollfd wait{.fd = fd, .events = POLLOUT, .revents = 0};
      poll(&wait, 1, -1);
      continue;
    }
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

class Session {
 public:
  Session(RunningMachine& running, GuestConsole& console, const ViewOptions& view)
      : running_(running), console_(console), view_(running, view, [this](WindowWish wish) { grant(wish); }) {
    running_.on_network_failure([](const Error& error) { say(error.message()); });
  }

  Result<> open_view();
  int serve(int signals);

 private:
  void type(std::string_view keys);
  void command(char key);
  void ask_to_stop();
  void grant(WindowWish wish);
  void capture();
  void receive(int signal);
  int milliseconds_left() const;

  RunningMachine& running_;
  GuestConsole& console_;
  MachineView view_;
  EscapeFilter escapes_;
  RawTerminal terminal_;
  bool asked_to_stop_ = false;
  // When a guest that was asked by a signal is stopped at once: nobody may be there to ask again.
  std::optional<std::chrono::steady_clock::time_point> deadline_;
};

void Session::type(std::string_view keys) {
  if (!terminal_.is_terminal()) return console_.write(keys);
  console_.write(escapes_.feed(
      keys,
      [] {
        say("s shut down, q stop at once, p pause or resume, i information, c capture the display, "
            "v view it, Ctrl-] send Ctrl-], other keys go on");
      },
      [this](char key) { command(key); }));
}

void Session::command(char key) {
  VirtualMachine& machine = running_.machine();
  switch (key) {
    case 's':
      return ask_to_stop();
    case 'q':
      return running_.stop(say_failure);
    case 'p': {
      const auto done = [&machine](const Result<>& changed) {
        changed ? say(to_string(machine.state())) : say_failure(changed);
      };
      return machine.can_resume() ? running_.resume(done) : running_.pause(done);
    }
    case 'i': {
      std::string text =
          fmt::format("{}\n{}", to_string(machine.state()), description_text(running_.describe()));
      text.pop_back();  // The last end of a line.
      say(text);
      break;
    }
    case 'c':
      return capture();
    case 'v':
      return say_failure(open_view());
    default:
      break;
  }
}

Result<> Session::open_view() {
  const auto opened = view_.open();
  if (!opened) return std::unexpected(opened.error());
  if (!opened->empty()) say(*opened);
  return {};
}

// What the user of the window wants. Other than here, pressing the power button twice is no wish to stop by
// force.
void Session::grant(WindowWish wish) {
  if (wish == WindowWish::stop) return running_.stop(say_failure);
  if (wish == WindowWish::shut_down) {
    asked_to_stop_ = true;
    const Result<> asked = running_.request_stop();
    return asked ? say("asked the guest to shut down") : say_failure(asked);
  }
  if (running_.machine().can_stop())
    say("the window is closed, the machine runs on; Ctrl-] v opens it again");
}

// Into the first of alcove-1.png, alcove-2.png… that does not exist.
void Session::capture() {
  const auto png = take_screenshot(running_.machine(), 0);
  if (!png) return say(png.error().message());
  for (unsigned number = 1; number < 10000; ++number) {
    const std::string name = fmt::format("alcove-{}.png", number);
    const UniqueFd file(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!file && errno == EEXIST) continue;
    if (!file) return say(fmt::format("{}: {}", name, std::strerror(errno)));
    write_all(file.get(), *png);
    return say(fmt::format("the display is in {}", name));
  }
}

// The first time by the power button, the second by force.
void Session::ask_to_stop() {
  if (std::exchange(asked_to_stop_, true)) return running_.stop(say_failure);
  const Result<> asked = running_.request_stop();
  asked ? say("asked the guest to shut down; once more stops it at once") : say_failure(asked);
}

void Session::receive(int signal) {
  if (signal == SIGTSTP) {
    terminal_.leave();
    raise(SIGSTOP);
    return terminal_.enter();
  }
  constexpr std::chrono::seconds kGuestMayTake{90};
  if (!deadline_) deadline_ = std::chrono::steady_clock::now() + kGuestMayTake;
  ask_to_stop();
}

// What poll() takes: -1 for ever.
int Session::milliseconds_left() const {
  if (!deadline_) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - std::chrono::steady_clock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

int Session::serve(int signals) {
  running_.start([this](const Result<>& started) {
    console_.close_machine_ends();
    if (started && terminal_.is_terminal()) say("Ctrl-] for the monitor");
  });
  bool input_open = true;
  bool ended = false;
  while (true) {
    std::array<pollfd, 6> polls{
        {{.fd = input_open ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
         {.fd = console_.output(), .events = POLLIN, .revents = 0},
         {.fd = running_.ended(), .events = POLLIN, .revents = 0},
         {.fd = signals, .events = POLLIN, .revents = 0},
         {.fd = console_.has_unwritten() ? console_.input() : -1, .events = POLLOUT, .revents = 0},
         {.fd = running_.answered(), .events = POLLIN, .revents = 0}}};
    // After the end only what the guest had put out is fetched.
    const int ready = poll(polls.data(), polls.size(), ended ? 0 : milliseconds_left());
    if (ready < 0 && errno != EINTR) break;
    if (ready == 0 && !ended) {
      deadline_.reset();
      running_.stop(say_failure);
      continue;
    }
    if (polls[1].revents & (POLLIN | POLLHUP)) {
      const std::string text = console_.read();
      write_all(STDOUT_FILENO, text);
      if (ended && text.empty()) break;
    } else if (ended) {
      break;
    }
    if (polls[0].revents) {
      std::array<char, 4096> keys{};
      const ssize_t count = ::read(STDIN_FILENO, keys.data(), keys.size());
      if (count > 0) type({keys.data(), static_cast<size_t>(count)});
      if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) input_open = false;
    }
    if (polls[3].revents & POLLIN) {
      signalfd_siginfo information{};
      if (::read(signals, &information, sizeof information) > 0)
        receive(static_cast<int>(information.ssi_signo));
    }
    if (polls[4].revents) console_.flush();
    if (polls[5].revents) running_.call_back();
    ended = polls[2].revents & POLLIN;
  }
  running_.finish();
  terminal_.leave();
  if (auto error = running_.error()) return report(*error);
  return 0;
}

}  // namespace

int run(const VirtualMachineConfiguration& given, const ViewOptions& view) {
  VirtualMachineConfiguration configuration = given;
  prepare_for_view(configuration, view);
  auto console = GuestConsole::attach(configuration);
  if (!console) return report(console.error());
  const auto problems = configuration.validate();
  for (const Error& problem : problems) report(problem);
  if (!problems.empty()) return 1;
  warn_about_hypervisor(configuration);

  // Before any thread is made, so that all inherit it and the signals come to the descriptor alone.
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGTSTP}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const UniqueFd signals(signalfd(-1, &set, SFD_CLOEXEC));

  auto running = RunningMachine::create(configuration);
  if (!running) return report(running.error());
  Session session(**running, *console, view);
  if (const auto opened = session.open_view(); !opened) return report(opened.error());
  return session.serve(signals.get());
}

}  // namespace alcove::cli
