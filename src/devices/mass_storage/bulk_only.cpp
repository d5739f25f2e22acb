#include "devices/mass_storage/bulk_only.h"

namespace alcove::devices::mass_storage {

using namespace spec::usb_storage;
using usb::Transfer;

namespace {

bool is_input(const CommandBlock& block) {
  return block.flags & 0x80;
}

}  // namespace

void BulkOnly::restart() {
  ++generation_;
  phase_ = Phase::command;
  broken_ = false;
  for (Transfer** kept : {&in_, &out_}) {
    if (Transfer* transfer = std::exchange(*kept, nullptr)) transfer->complete(Transfer::Status::gone, 0);
  }
}

void BulkOnly::halt_cleared(uint8_t endpoint) {
  // Section 5.3.4: only a reset makes an end of this.
  if (broken_ && (endpoint == kIn || endpoint == kOut)) halt(endpoint);
}

void BulkOnly::submit(Transfer& transfer) {
  const uint8_t endpoint = transfer.endpoint();
  if ((endpoint != kIn && endpoint != kOut) || transfer.stream() != 0) {
    return transfer.complete(Transfer::Status::stall, 0);
  }
  (endpoint == kIn ? in_ : out_) = &transfer;
  advance();
}

bool BulkOnly::cancel(Transfer& transfer) {
  if (&transfer == busy_) return false;
  for (Transfer** kept : {&in_, &out_}) {
    if (*kept == &transfer) *kept = nullptr;
  }
  return true;
}

void BulkOnly::advance() {
  if (std::exchange(advancing_, true)) return;
  bool again = true;
  while (again && !working_ && !unit_.is_paused()) {
    switch (phase_) {
      case Phase::command:
        again = take_command();
        break;
      case Phase::data_in:
        again = move_data_in();
        break;
      case Phase::data_out:
        again = move_data_out();
        break;
      case Phase::status:
        again = send_status();
        break;
    }
  }
  advancing_ = false;
}

bool BulkOnly::take_command() {
  if (!out_) return false;
  Transfer& transfer = *std::exchange(out_, nullptr);
  CommandBlock block;
  const bool whole = transfer.size() == sizeof block;
  if (whole) copy_in(transfer, std::as_writable_bytes(std::span(&block, 1)));
  // Sections 6.2.1 and 6.2.2: valid and meaningful.
  if (!whole || block.signature != kCommandSignature || block.unit != 0 || block.length < 1 ||
      block.length > block.command.size() || (block.flags & 0x7F)) {
    broken_ = true;
    halt(kIn);
    halt(kOut);
    transfer.complete(Transfer::Status::stall, 0);
    if (Transfer* waiting = std::exchange(in_, nullptr)) waiting->complete(Transfer::Status::stall, 0);
    return true;
  }
  block_ = block;
  status_ = {.tag = block.tag, .residue = block.data_length};
  expected_ = block.data_length;
  left_ = done_ = 0;
  moved_any_ = false;
  received_.clear();
  phase_ = expected_ == 0 ? Phase::status : is_input(block) ? Phase::data_in : Phase::data_out;
  transfer.complete(Transfer::Status::success, transfer.size());
  execute(unit_.target().parse(std::as_bytes(std::span(block.command).first(block.length))));
  return true;
}

// Decides how much of the host's data phase is used (section 6.7, the thirteen cases).
void BulkOnly::execute(Command command) {
  command_ = std::move(command);
  const bool in = is_input(block_);
  if (const auto* sense = std::get_if<Sense>(&command_)) return fail(*sense);
  if (const auto* answer = std::get_if<Answer>(&command_)) {
    if (answer->bytes.empty()) return;
    if (expected_ != 0 && !in) return phase_error();
    left_ = std::min<uint64_t>(answer->bytes.size(), expected_);
  } else if (const auto* read = std::get_if<Read>(&command_)) {
    if (!in || expected_ < read->size) return phase_error();
    left_ = read->size;
  } else if (const auto* write = std::get_if<Write>(&command_)) {
    if (in || expected_ < write->size) return phase_error();
    left_ = write->size;
  } else if (const auto* parameters = std::get_if<Parameters>(&command_)) {
    if (in || expected_ < parameters->size) return phase_error();
    left_ = parameters->size;
  } else if (std::holds_alternative<Flush>(command_)) {
    unit_.flush(working([this](storage::IoResult done) {
      if (!done) fail(spec::scsi::kWriteError);
    }));
  }
}

void BulkOnly::fail(const Sense& sense) {
  unit_.target().set_sense(sense);
  if (status_.status == kPassed) status_.status = kFailed;
  left_ = 0;
}

void BulkOnly::phase_error() {
  status_.status = kPhaseError;
  left_ = 0;
}

// The data phase's end for a transfer: what it did not fill is residue.
void BulkOnly::after_data(uint64_t moved, Transfer& transfer) {
  done_ += moved;
  left_ -= std::min(left_, moved);
  status_.residue -= static_cast<uint32_t>(std::min<uint64_t>(moved, status_.residue));
  expected_ -= std::min(expected_, transfer.size());
  moved_any_ |= moved != 0;
  // A short packet ends it (towards the host), as its last byte does.
  if (expected_ == 0 || (is_input(block_) && moved < transfer.size())) end_data();
}

void BulkOnly::end_data() {
  phase_ = Phase::status;
  if (status_.status != kPassed) return;
  if (std::holds_alternative<Parameters>(command_)) {
    auto ranges = unit_.target().unmap(received_);
    if (!ranges) return fail(ranges.error());
    unit_.discard(*std::move(ranges), working([this](storage::IoResult done) {
      if (!done) fail(spec::scsi::kWriteError);
    }));
  }
}

bool BulkOnly::move_data_in() {
  if (!in_) return false;
  const uint64_t size = std::min(in_->size(), left_);
  if (size == 0 && in_->size() != 0) {
    Transfer& transfer = *std::exchange(in_, nullptr);
    phase_ = Phase::status;
    if (!moved_any_) halt(kIn);
    transfer.complete(moved_any_ ? Transfer::Status::success : Transfer::Status::stall, 0);
    return true;
  }
  if (std::holds_alternative<Read>(command_)) return move(*std::exchange(in_, nullptr), size);
  Transfer& transfer = *std::exchange(in_, nullptr);
  if (const auto* answer = std::get_if<Answer>(&command_)) {
    copy_out(transfer, std::span(answer->bytes).subspan(done_, size));
  }
  after_data(size, transfer);
  transfer.complete(Transfer::Status::success, size);
  return true;
}

bool BulkOnly::move_data_out() {
  if (!out_) return false;
  const uint64_t size = std::min(out_->size(), left_);
  if (std::holds_alternative<Write>(command_) && size != 0) return move(*std::exchange(out_, nullptr), size);
  Transfer& transfer = *std::exchange(out_, nullptr);
  const size_t before = received_.size();
  received_.resize(before + size);
  copy_in(transfer, std::span(received_).subspan(before));
  after_data(size, transfer);
  transfer.complete(Transfer::Status::success, transfer.size());  // What is too much is taken and dropped.
  return true;
}

// Between disk and guest memory directly.
bool BulkOnly::move(Transfer& transfer, uint64_t size) {
  constexpr uint64_t kSector = 512;
  const bool reads = std::holds_alternative<Read>(command_);
  const Range range = reads ? Range(std::get<Read>(command_)) : Range(std::get<Write>(command_));
  // Transfers end where packets do, and packets have whole sectors.
  if (size % kSector) {
    phase_error();
    after_data(0, transfer);
    transfer.complete(Transfer::Status::success, 0);
    return true;
  }
  const uint64_t offset = range.offset + done_;
  busy_ = &transfer;
  auto next = working([this, &transfer, size, reads](storage::IoResult done) {
    if (!done) fail(reads ? spec::scsi::kReadError : spec::scsi::kWriteError);
    const uint64_t moved = done ? size : 0;
    after_data(moved, transfer);
    transfer.complete(Transfer::Status::success, reads ? moved : transfer.size());
  });
  auto buffers = first_bytes(transfer, size);
  if (reads) {
    unit_.read(offset, std::move(buffers), std::move(next));
  } else {
    unit_.write(offset, std::move(buffers), std::get<Write>(command_).to_medium, std::move(next));
  }
  return true;
}

Unit::Next BulkOnly::working(Unit::Next next) {
  working_ = true;
  return [this, next = std::move(next), generation = generation_](storage::IoResult done) mutable {
    working_ = false;
    Transfer* transfer = std::exchange(busy_, nullptr);
    if (generation == generation_) {
      next(std::move(done));
    } else if (transfer) {
      transfer->complete(Transfer::Status::gone, 0);
    }
    advance();
  };
}

bool BulkOnly::send_status() {
  if (!in_) return false;
  Transfer& transfer = *std::exchange(in_, nullptr);
  const auto bytes = std::as_bytes(std::span(&status_, 1));
  phase_ = Phase::command;
  if (transfer.size() < bytes.size()) {
    halt(kIn);
    transfer.complete(Transfer::Status::stall, 0);
    return true;
  }
  copy_out(transfer, bytes);
  transfer.complete(Transfer::Status::success, bytes.size());
  return true;
}

}  // namespace alcove::devices::mass_storage
