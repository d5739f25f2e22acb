#include "client/background_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include "client/spawn_plan.h"

namespace alcove::client {
namespace {

constexpr std::chrono::seconds kTimeToStart{10};

std::unexpected<Error> failed(std::string_view doing, int error) {
  return fail(ErrorCode::internal, "", fmt::format("can't {}: {}", doing, std::strerror(error)));
}

// Waits for the process's end, and gives its status; nothing if it takes too long.
std::optional<int> wait_for(pid_t process, std::chrono::steady_clock::time_point deadline) {
  int status = 0;
  while (true) {
    const pid_t ended = ::waitpid(process, &status, WNOHANG);
    if (ended == process) return status;
    // Somebody else in this program collected it: what it had to say is all there is.
    if (ended < 0 && errno != EINTR) return 0;
    if (std::chrono::steady_clock::now() > deadline) return {};
    ::usleep(2000);
  }
}

std::string last_line(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

Result<> start_in_background(const std::filesystem::path& program, std::vector<std::string> arguments,
                             std::vector<UniqueFd> descriptors) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return failed("create a pipe", errno);
  const UniqueFd complaints(pipe_ends[0]);
  UniqueFd complaints_end(pipe_ends[1]);
  ::fcntl(complaints.get(), F_SETFL, O_NONBLOCK);
  complaints_end = SpawnPlan::raised(std::move(complaints_end));
  for (UniqueFd& descriptor : descriptors) descriptor = SpawnPlan::raised(std::move(descriptor));
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  pid_t process = 0;
  {
    const SpawnPlan plan(complaints_end, descriptors);
    const int error =
        ::posix_spawn(&process, program.c_str(), &plan.actions, &plan.attributes, pointers.data(), environ);
    if (error != 0) return failed(fmt::format("run {}", program.string()), error);
  }
  complaints_end.reset();
  const auto status = wait_for(process, std::chrono::steady_clock::now() + kTimeToStart);
  if (!status) {
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
  }
  if (status == 0) return {};
  std::array<char, 4096> buffer{};
  const ssize_t count = ::read(complaints.get(), buffer.data(), buffer.size());
  const std::string said = last_line(std::string(buffer.data(), count > 0 ? static_cast<size_t>(count) : 0));
  const std::string name = program.filename().string();
  if (!said.empty()) return fail(ErrorCode::internal, "", fmt::format("{} says: {}", name, said));
  return fail(ErrorCode::internal, "",
              status ? fmt::format("{} failed", name) : fmt::format("{} did not start in time", name));
}

}  // namespace alcove::client
