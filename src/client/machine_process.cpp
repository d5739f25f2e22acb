#include "client/machine_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>  // NOLINT(modernize-deprecated-headers): sigabbrev_np is GNU, not C++.
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

// glibc 2.36 leaves out that these are C functions.
extern "C" {
#include <sys/pidfd.h>
}

#include <array>
#include <cerrno>
#include <utility>

#include "client/spawn_plan.h"

namespace alcove::client {
namespace {

constexpr size_t kLastWordsSize = 2048;
constexpr size_t kMostLastLines = 4;

std::unexpected<Error> failed(std::string_view doing, int error) {
  return fail(ErrorCode::internal, "", fmt::format("can't {}: {}", doing, ::strerror(error)));
}

std::string last_lines(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  size_t begin = text.size() + 1;
  for (size_t line = 0; line < kMostLastLines && begin > 1; ++line) {
    const size_t newline = text.rfind('\n', begin - 2);
    begin = newline == std::string::npos ? 0 : newline + 1;
  }
  return begin > text.size() ? "" : text.substr(begin);
}

}  // namespace

Result<std::unique_ptr<MachineProcess>> MachineProcess::spawn(exec::EventLoop& loop,
                                                              const std::filesystem::path& program,
                                                              const std::string& label, OnMessage on_message,
                                                              OnEnded on_ended) {
  auto sockets = control::socket_pair();
  if (!sockets) return std::unexpected(std::move(sockets.error()));
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return failed("create a pipe", errno);
  UniqueFd complaints(pipe_ends[0]);
  const UniqueFd complaints_end = SpawnPlan::raised(UniqueFd(pipe_ends[1]));
  const UniqueFd socket_end = SpawnPlan::raised(std::move(sockets->second));  // 3, for src/service/main.cpp.
  ::fcntl(complaints.get(), F_SETFL, O_NONBLOCK);
  if (!complaints_end || !socket_end) return failed("duplicate a file descriptor", errno);

  const SpawnPlan plan(complaints_end, {&socket_end, 1});
  std::string name = program.filename();
  std::string label_argument = "--label=" + label;
  std::array<char*, 3> arguments = {name.data(), label.empty() ? nullptr : label_argument.data(), nullptr};
  pid_t pid = 0;
  if (int error =
          ::posix_spawn(&pid, program.c_str(), &plan.actions, &plan.attributes, arguments.data(), environ)) {
    return failed(fmt::format("run {}", program.string()), error);
  }
  UniqueFd process(::pidfd_open(pid, 0));
  if (!process) {
    auto error = failed("watch the machine's process", errno);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return error;
  }
  return std::unique_ptr<MachineProcess>(new MachineProcess(loop, pid, std::move(process),
                                                            std::move(sockets->first), std::move(complaints),
                                                            std::move(on_message), std::move(on_ended)));
}

MachineProcess::MachineProcess(exec::EventLoop& loop, pid_t pid, UniqueFd process, UniqueFd messages,
                               UniqueFd complaints, OnMessage on_message, OnEnded on_ended)
    : loop_(loop),
      pid_(pid),
      process_(std::move(process)),
      complaints_(std::move(complaints)),
      on_ended_(std::move(on_ended)) {
  loop_.watch(process_.get(), EPOLLIN, [this](uint32_t) { process_ended(); });
  loop_.watch(complaints_.get(), EPOLLIN, [this](uint32_t) { read_complaints(); });
  channel_ = std::make_unique<control::Channel>(
      loop_, std::move(messages),
      [on_message = std::move(on_message)](control::Json message, const std::vector<UniqueFd>&) mutable {
        on_message(std::move(message));
      },
      [this](const Error&) { channel_closed(); });
}

MachineProcess::~MachineProcess() {
  if (deadline_) loop_.cancel(*deadline_);
  channel_.reset();
  loop_.unwatch(complaints_.get());
  loop_.unwatch(process_.get());
  if (how_) return;
  kill();
  reap();
}

void MachineProcess::send(control::Json message, std::vector<UniqueFd> descriptors) {
  channel_->send(std::move(message), std::move(descriptors));
}

void MachineProcess::end_within(std::chrono::milliseconds time) {
  if (deadline_) loop_.cancel(*deadline_);
  deadline_ = loop_.call_at(exec::Clock::now() + time, [this] {
    deadline_.reset();
    if (how_) return finish();
    kill();
  });
}

void MachineProcess::kill() {
  ::pidfd_send_signal(process_.get(), SIGKILL, nullptr, 0);
}

void MachineProcess::reap() {
  siginfo_t info{};
  int result;
  do {
    result = ::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &info, WEXITED);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    how_ = "ended, and the application itself collected its status";
  } else if (info.si_code == CLD_EXITED) {
    how_ = fmt::format("ended with status {}", info.si_status);
  } else {
    const char* name = ::sigabbrev_np(info.si_status);
    how_ = name != nullptr ? fmt::format("was killed by SIG{}", name)
                           : fmt::format("was killed by signal {}", info.si_status);
  }
}

// What it said before may still be in the socket: that is read first. Should some other process hold the
// socket's other end open, its closing is not waited for long.
void MachineProcess::process_ended() {
  loop_.unwatch(process_.get());
  reap();
  if (!channel_open_) return finish();
  end_within(std::chrono::seconds(1));
}

void MachineProcess::channel_closed() {
  channel_open_ = false;
  if (how_) return finish();
  // It can't be steered any more.
  if (!deadline_) end_within(std::chrono::seconds(2));
}

void MachineProcess::read_complaints() {
  std::array<char, 4096> buffer;
  const ssize_t count = ::read(complaints_.get(), buffer.data(), buffer.size());
  if (count == 0) loop_.unwatch(complaints_.get());
  if (count <= 0) return;
  last_words_.append(buffer.data(), static_cast<size_t>(count));
  if (last_words_.size() > kLastWordsSize) last_words_.erase(0, last_words_.size() - kLastWordsSize);
}

void MachineProcess::finish() {
  if (std::exchange(finished_, true)) return;
  if (deadline_) loop_.cancel(*deadline_);
  deadline_.reset();
  size_t before;
  do {
    before = last_words_.size();
    read_complaints();
  } while (last_words_.size() != before && last_words_.size() < kLastWordsSize);
  std::string how = *how_;
  if (const std::string words = last_lines(last_words_); !words.empty()) how += ": " + words;
  // Not from inside the channel's callback, which may be running: the owner destroys both now.
  loop_.post([on_ended = std::move(on_ended_), how = std::move(how)]() mutable { on_ended(std::move(how)); });
}

}  // namespace alcove::client
