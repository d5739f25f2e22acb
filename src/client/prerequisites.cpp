// What this host can run: the machine program is asked, since it is what runs machines.
#include <alcove/virtual_machine.h>
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

#include "client/machine_program.h"
#include "config/efi_firmware.h"
#include "control/messages.h"
#include "support/unique_fd.h"

namespace alcove {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kTimeToAnswer{15};
constexpr size_t kLongestAnswer = 64 * 1024;

// All that can be read until the end of file or the deadline.
std::string read_until(int descriptor, Clock::time_point deadline) {
  std::string text;
  std::array<char, 4096> buffer;
  while (text.size() < kLongestAnswer) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd poll_descriptor{.fd = descriptor, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || ::poll(&poll_descriptor, 1, static_cast<int>(left.count())) == 0) break;
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  return text;
}

Result<std::string> run_probe(const std::filesystem::path& program) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(ErrorCode::internal, "", "can't create a pipe");
  const UniqueFd output(ends[0]);
  UniqueFd input(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input.get(), STDOUT_FILENO);
  std::string name = program.filename();
  std::string option = "--probe";
  std::array<char*, 3> arguments = {name.data(), option.data(), nullptr};
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  input.reset();
  if (error != 0)
    return fail(ErrorCode::not_supported, "",
                fmt::format("can't run {}: {}", program.string(), std::strerror(error)));
  std::string answer = read_until(output.get(), Clock::now() + kTimeToAnswer);
  ::kill(pid, SIGKILL);  // It has ended by itself, or has had its time.
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return answer;
}

}  // namespace

std::vector<Prerequisite> VirtualMachine::prerequisites() {
  Prerequisite program{.name = "machine program", .required = true};
  auto path = client::find_machine_program({});
  if (!path) {
    program.found = path.error().what;
    program.hint = path.error().hint;
    return {program};
  }
  auto answer = run_probe(*path);
  const auto list = answer ? config::parse_json(*answer, "") : std::unexpected(answer.error());
  if (!list || !list->is_array() || list->empty()) {
    program.found = answer ? fmt::format("{} does not answer", path->string()) : answer.error().what;
    program.hint = "install the alcove-vm of this version";
    return {program};
  }
  program.satisfied = true;
  program.found = path->string();
  std::vector<Prerequisite> all = {program};
  for (const auto& tree : *list) all.push_back(control::prerequisite_from_json(tree));
  const auto firmware = config::find_efi_firmware({});
  all.push_back({.name = "EFI firmware",
                 .satisfied = firmware.has_value(),
                 .found = firmware ? firmware->code.string() : firmware.error().what,
                 .hint = firmware ? "" : firmware.error().hint});
  return all;
}

Result<> VirtualMachine::is_supported() {
  for (const Prerequisite& prerequisite : prerequisites()) {
    if (prerequisite.required && !prerequisite.satisfied) {
      return fail(ErrorCode::not_supported, prerequisite.name, prerequisite.found, prerequisite.hint);
    }
  }
  return {};
}

}  // namespace alcove
