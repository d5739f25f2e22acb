// A machine of another process, as the program that shows its window sees it.
#pragma once

#include <memory>
#include <string>

#include "support/unique_fd.h"
#include "view/shown_machine.h"
#include "view/window/messages.h"

namespace alcove::view::window {

class Connection final : public ShownMachine {
 public:
  // Says hello and waits for the answer.
  static Result<std::unique_ptr<Connection>> create(UniqueFd socket);

  DisplayReader& reader() override { return *reader_; }
  std::string name() const override { return situation_.name; }
  VirtualMachineState state() const override { return situation_.state; }
  uint64_t starts() const override { return situation_.starts; }
  DisplaySize size() const override { return situation_.size; }
  ClipboardContents clipboard() const override { return clipboard_; }
  uint64_t clipboard_changes() const override { return clipboard_changes_; }
  void set_clipboard(ClipboardContents contents) override;
  void send(const InputEvent& event) override { say(event); }
  void release_all() override { say(Word::release); }
  void reconfigure(const VirtioGraphicsScanoutConfiguration& configuration) override { say(configuration); }
  void say(const Message& message);

  // Readable when receive() has something to take. False once the other side is gone.
  int descriptor() const { return socket_.get(); }
  bool receive();

 private:
  explicit Connection(UniqueFd socket) : socket_(std::move(socket)) {}
  // False where the other side does not read.
  bool flush();

  const UniqueFd socket_;
  std::unique_ptr<DisplayReader> reader_;
  Situation situation_;
  Incoming incoming_;
  std::string sending_;
  ClipboardContents clipboard_;
  uint64_t clipboard_changes_ = 0;
  bool lost_some_ = false;
};

}  // namespace alcove::view::window
