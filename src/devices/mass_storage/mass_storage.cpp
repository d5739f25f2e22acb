#include "devices/mass_storage/mass_storage.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace alcove::devices::mass_storage {

using namespace spec::usb_storage;
using usb::Transfer;

namespace {

constexpr uint8_t kIn = 0x81, kOut = 0x02;

usb::DeviceDescription description(const MassStorageOptions& options) {
  return {.speed = usb::Speed::super,
          .product = spec::usb::kProductStorage,
          .product_name = options.is_optical ? "CD-ROM" : "USB Disk",
          .serial = options.serial,
          .alternates = {{.interface_class = spec::usb::kClassMassStorage,
                          .interface_subclass = kSubclassScsi,
                          .interface_protocol = kProtocolBulkOnly,
                          .extra = {},
                          .endpoints = {{.address = kIn, .max_packet_size = 1024},
                                        {.address = kOut, .max_packet_size = 1024}}}}};
}

// The first `size` bytes of a transfer's buffers.
std::vector<iovec> first_bytes(const Transfer& transfer, uint64_t size) {
  std::vector<iovec> buffers;
  for (iovec buffer : transfer.buffers()) {
    if (size == 0) break;
    buffer.iov_len = std::min<uint64_t>(buffer.iov_len, size);
    size -= buffer.iov_len;
    buffers.push_back(buffer);
  }
  return buffers;
}

void copy_out(const Transfer& transfer, std::span<const std::byte> bytes) {
  size_t done = 0;
  for (const iovec& buffer : first_bytes(transfer, bytes.size())) {
    std::memcpy(buffer.iov_base, bytes.data() + done, buffer.iov_len);
    done += buffer.iov_len;
  }
}

void copy_in(const Transfer& transfer, std::span<std::byte> bytes) {
  size_t done = 0;
  for (const iovec& buffer : first_bytes(transfer, bytes.size())) {
    std::memcpy(bytes.data() + done, buffer.iov_base, buffer.iov_len);
    done += buffer.iov_len;
  }
}

bool is_input(const CommandBlock& block) {
  return block.flags & 0x80;
}

}  // namespace

MassStorage::MassStorage(std::unique_ptr<storage::Disk> disk, const MassStorageOptions& options,
                         exec::EventLoop& loop)
    : FunctionDevice(description(options)),
      disk_(std::move(disk)),
      loop_(loop),
      target_({.size = disk_->size(),
               .read_only = disk_->is_read_only(),
               .is_optical = options.is_optical,
               .serial = options.serial}),
      thread_(std::make_unique<exec::LoopThread>("usb disk")) {}

MassStorage::~MassStorage() = default;

void MassStorage::pause() {
  paused_ = true;
  loop_.call([] {});            // Whatever work was given out is with the thread now,
  thread_->loop().call([] {});  // and done now.
}

void MassStorage::resume() {
  paused_ = false;
  loop_.post([weak = weak_from_this()] {
    if (const auto device = weak.lock()) device->advance();
  });
}

void MassStorage::reset() {
  FunctionDevice::reset();
  restart();
}

// Everything under way is forgotten. What the disk's thread does goes on, for nobody.
void MassStorage::restart() {
  ++generation_;
  phase_ = Phase::command;
  broken_ = false;
  for (Transfer** kept : {&in_, &out_}) {
    if (Transfer* transfer = std::exchange(*kept, nullptr)) transfer->complete(Transfer::Status::gone, 0);
  }
}

std::optional<Bytes> MassStorage::interface_request(const spec::usb::SetupPacket& setup,
                                                    std::span<const std::byte>) {
  const bool in = setup.request_type & spec::usb::kDirectionIn;
  if ((setup.request_type & spec::usb::kTypeMask) != spec::usb::kTypeClass) return std::nullopt;
  if (setup.request == kGetMaximumUnit && in) return Bytes{std::byte{0}};
  if (setup.request == kBulkOnlyReset && !in) {
    restart();
    return Bytes();
  }
  return std::nullopt;
}

void MassStorage::halt_cleared(uint8_t endpoint) {
  // Section 5.3.4: only a reset makes an end of this.
  if (broken_ && (endpoint == kIn || endpoint == kOut)) halt(endpoint);
}

void MassStorage::submit(Transfer& transfer) {
  const uint8_t endpoint = transfer.endpoint();
  const bool known = endpoint == kIn || endpoint == kOut;
  if (!is_configured() || !known || is_halted(endpoint) || transfer.stream() != 0) {
    return transfer.complete(Transfer::Status::stall, 0);
  }
  (endpoint == kIn ? in_ : out_) = &transfer;
  advance();
}

bool MassStorage::cancel(Transfer& transfer) {
  if (&transfer == busy_) return false;
  for (Transfer** kept : {&in_, &out_}) {
    if (*kept == &transfer) *kept = nullptr;
  }
  return true;
}

void MassStorage::advance() {
  if (std::exchange(advancing_, true)) return;
  bool again = true;
  while (again && !working_ && !paused_) {
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

bool MassStorage::take_command() {
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
  execute(target_.parse(std::as_bytes(std::span(block.command).first(block.length))));
  return true;
}

// Decides how much of the host's data phase is used (section 6.7, the thirteen cases).
void MassStorage::execute(Command command) {
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
    let_work([disk = disk_] { return disk->flush(); },
             [this](storage::IoResult done) {
               if (!done) fail(spec::scsi::kWriteError);
             });
  }
}

void MassStorage::fail(const Sense& sense) {
  target_.set_sense(sense);
  if (status_.status == kPassed) status_.status = kFailed;
  left_ = 0;
}

void MassStorage::phase_error() {
  status_.status = kPhaseError;
  left_ = 0;
}

// The data phase's end for a transfer: what it did not fill is residue.
void MassStorage::after_data(uint64_t moved, Transfer& transfer) {
  done_ += moved;
  left_ -= std::min(left_, moved);
  status_.residue -= static_cast<uint32_t>(std::min<uint64_t>(moved, status_.residue));
  expected_ -= std::min(expected_, transfer.size());
  moved_any_ |= moved != 0;
  // A short packet ends it (towards the host), as its last byte does.
  if (expected_ == 0 || (is_input(block_) && moved < transfer.size())) end_data();
}

void MassStorage::end_data() {
  phase_ = Phase::status;
  if (status_.status != kPassed) return;
  if (std::holds_alternative<Parameters>(command_)) {
    auto ranges = target_.unmap(received_);
    if (!ranges) return fail(ranges.error());
    let_work(
        [disk = disk_, ranges = *std::move(ranges)] {
          storage::IoResult done;
          for (const Range& range : ranges) {
            if (done) done = disk->discard(range.offset, range.size);
          }
          return done;
        },
        [this](storage::IoResult done) {
          if (!done) fail(spec::scsi::kWriteError);
        });
  }
}

bool MassStorage::move_data_in() {
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

bool MassStorage::move_data_out() {
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
bool MassStorage::move(Transfer& transfer, uint64_t size) {
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
  const bool to_medium = !reads && std::get<Write>(command_).to_medium;
  busy_ = &transfer;
  let_work(
      [disk = disk_, buffers = first_bytes(transfer, size), offset, reads, to_medium]() -> storage::IoResult {
        if (reads) return disk->read(offset, buffers);
        auto done = disk->write(offset, buffers);
        if (done && to_medium) done = disk->flush();
        return done;
      },
      [this, &transfer, size, reads](storage::IoResult done) {
        if (!done) fail(reads ? spec::scsi::kReadError : spec::scsi::kWriteError);
        const uint64_t moved = done ? size : 0;
        after_data(moved, transfer);
        transfer.complete(Transfer::Status::success, reads ? moved : transfer.size());
      });
  return true;
}

void MassStorage::let_work(Work work, std::move_only_function<void(storage::IoResult)> next) {
  working_ = true;
  thread_->loop().post([this, work = std::move(work), next = std::move(next),
                        generation = generation_]() mutable {
    loop_.post([this, weak = weak_from_this(), done = work(), next = std::move(next), generation]() mutable {
      const auto alive = weak.lock();
      if (!alive) return;
      working_ = false;
      Transfer* transfer = std::exchange(busy_, nullptr);
      if (generation == generation_) {
        next(std::move(done));
      } else if (transfer) {
        transfer->complete(Transfer::Status::gone, 0);
      }
      advance();
    });
  });
}

bool MassStorage::send_status() {
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
