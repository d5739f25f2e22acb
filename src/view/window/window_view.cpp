#include <alcove/window_view.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "support/program.h"
#include "view/window/host.h"

namespace alcove {

namespace {

namespace fs = std::filesystem;
// What the new program finds as descriptor 3.
Result<pid_t> spawn(const fs::path& program, const WindowViewOptions& options, int socket) {
  constexpr int kDescriptor = 3;
  std::vector<std::string> words = {program.string(), "--connection", std::to_string(kDescriptor)};
  if (options.captures_system_keys) words.emplace_back("--capture-system-keys");
  if (options.asks_when_closed) words.emplace_back("--ask-when-closed");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, socket, kDescriptor);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Not in the terminal's foreground group: a Ctrl-C there is for the machine. Signals as they come to a new
  // program.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  pid_t process = 0;
  const int error =
      ::posix_spawn(&process, program.c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return fail(ErrorCode::internal, "",
                fmt::format("{} can't be started: {}", program.string(), std::strerror(error)));
  return process;
}

std::function<void(WindowWish)> fulfilling(VirtualMachine& machine) {
  return [&machine](WindowWish wish) {
    if (wish == WindowWish::shut_down) (void)machine.request_stop();
    if (wish == WindowWish::stop) machine.stop([](const Result<>&) {});
  };
}

}  // namespace

Result<fs::path> find_window_program(const fs::path& wanted) {
  return find_program(wanted, {.name = "alcove-window",
                               .variable = "ALCOVE_WINDOW",
                               .field = "program",
                               .what_missing = ": Alcove was built without Qt",
                               .hint = "apt-get install qt6-base-dev and build again, or use --view web"});
}

class WindowView::Implementation {
 public:
  explicit Implementation(std::unique_ptr<view::window::Host> host) : host_(std::move(host)) {}
  ~Implementation() {
    host_.reset();
    if (process_ > 0) end_process();
  }
  void set_process(pid_t process) { process_ = process; }
  bool wait_until_ready() { return host_->wait_until_ready(); }
  bool is_open() const { return host_->is_open(); }

 private:
  // It sees the end of its connection; what hangs is killed.
  void end_process() const {
    constexpr int kPatience = 200;
    constexpr useconds_t kStep = 10000;
    for (int i = 0; i < kPatience; ++i) {
      if (::waitpid(process_, nullptr, WNOHANG) != 0) return;
      ::usleep(kStep);
    }
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  std::unique_ptr<view::window::Host> host_;
  pid_t process_ = 0;
};

Result<std::unique_ptr<WindowView>> WindowView::create(VirtualMachine& machine, WindowViewOptions options) {
  const auto program = find_window_program(options.program);
  if (!program) return std::unexpected(program.error());
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail(ErrorCode::internal, "", fmt::format("no sockets for a window: {}", std::strerror(errno)));
  UniqueFd theirs(ends[1]);
  auto view = attach(machine, ends[0], options);
  if (!view) return view;
  const auto process = spawn(*program, options, theirs.get());
  if (!process) return std::unexpected(process.error());
  theirs.reset();
  (*view)->implementation_->set_process(*process);
  if (!(*view)->implementation_->wait_until_ready()) {
    return fail(ErrorCode::not_supported, "", "no window can be opened; its program has said why",
                "use --view web where there is no graphical session");
  }
  return view;
}

Result<std::unique_ptr<WindowView>> WindowView::attach(VirtualMachine& machine, int socket,
                                                       WindowViewOptions options) {
  auto host = view::window::Host::create(machine, options.display, UniqueFd(socket),
                                         options.on_wish ? std::move(options.on_wish) : fulfilling(machine));
  if (!host) return std::unexpected(std::move(host.error()));
  return std::unique_ptr<WindowView>(new WindowView(std::make_unique<Implementation>(*std::move(host))));
}

WindowView::WindowView(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
WindowView::~WindowView() = default;

bool WindowView::is_open() const {
  return implementation_->is_open();
}

}  // namespace alcove
