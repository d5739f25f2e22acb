#include "chips/fw_cfg.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "spec/fw_cfg.h"

namespace alcove::chips {

using namespace spec::fw_cfg;

namespace {

constexpr uint64_t kSelector = 0, kData = kDataPort - kSelectorPort, kDma = kDmaPort - kSelectorPort;

template <class T>
std::vector<uint8_t> bytes_of(const T& value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  return {bytes, bytes + sizeof value};
}

}  // namespace

FwCfg::FwCfg(memory::GuestMemory& memory) : memory_(memory) {
  set_item(key::signature, {'Q', 'E', 'M', 'U'});
  set_item(key::id, bytes_of(id_bits::traditional | id_bits::dma));
  make_directory();
  select(key::signature);
}

void FwCfg::set_item(uint16_t key, std::vector<uint8_t> bytes) {
  items_[key] = std::move(bytes);
}

void FwCfg::set_file(const std::string& name, std::vector<uint8_t> bytes) {
  auto found = std::ranges::find(files_, name);
  const auto index = static_cast<uint16_t>(found - files_.begin());
  if (found == files_.end()) files_.push_back(name);
  set_item(key::first_file + index, std::move(bytes));
  make_directory();
}

void FwCfg::make_directory() {
  std::vector<uint8_t> directory = bytes_of(std::byteswap(static_cast<uint32_t>(files_.size())));
  for (uint16_t index = 0; index < files_.size(); ++index) {
    const auto key = static_cast<uint16_t>(key::first_file + index);
    DirectoryEntry entry{.size = std::byteswap(static_cast<uint32_t>(items_[key].size())),
                         .key = std::byteswap(key)};
    files_[index].copy(entry.name.data(), entry.name.size() - 1);
    const auto bytes = bytes_of(entry);
    directory.insert(directory.end(), bytes.begin(), bytes.end());
  }
  set_item(key::file_directory, std::move(directory));
}

void FwCfg::reset() {
  std::lock_guard lock(mutex_);
  dma_address_high_ = 0;
  select(key::signature);
}

void FwCfg::select(uint16_t key) {
  const auto found = items_.find(key & key::mask);
  // Items of the architecture (0x8000) are of QEMU's making; there are none.
  selected_ = found == items_.end() || key & ~key::mask ? nullptr : &found->second;
  position_ = 0;
}

void FwCfg::take(std::span<std::byte> out) {
  const uint64_t size = selected_ ? selected_->size() : 0;
  const uint64_t count = std::min<uint64_t>(out.size(), size - std::min(position_, size));
  if (count != 0) std::memcpy(out.data(), selected_->data() + position_, count);
  std::ranges::fill(out.subspan(count), std::byte{0});
  position_ += count;
}

bus::Access FwCfg::read(uint64_t offset, std::span<std::byte> data) {
  std::lock_guard lock(mutex_);
  if (offset == kData && data.size() == 1) {
    take(data);
    return bus::Access::done;
  }
  if (offset >= kDma && data.size() <= 8 - (offset - kDma)) {
    const uint64_t signature = std::byteswap(kDmaSignature);
    std::memcpy(data.data(), reinterpret_cast<const std::byte*>(&signature) + (offset - kDma), data.size());
    return bus::Access::done;
  }
  return bus::Access::no_register;
}

bus::Access FwCfg::write(uint64_t offset, std::span<const std::byte> data) {
  std::lock_guard lock(mutex_);
  if (offset == kSelector && data.size() == 2) {
    uint16_t key;
    std::memcpy(&key, data.data(), sizeof key);
    select(key);
    return bus::Access::done;
  }
  if ((offset == kDma || offset == kDma + 4) && data.size() == 4) {
    uint32_t half;
    std::memcpy(&half, data.data(), sizeof half);
    half = std::byteswap(half);
    if (offset == kDma) {
      dma_address_high_ = half;
    } else {
      transfer(uint64_t{std::exchange(dma_address_high_, 0)} << 32 | half);
    }
    return bus::Access::done;
  }
  return bus::Access::no_register;
}

void FwCfg::transfer(uint64_t request_address) {
  const auto request = memory_.load<DmaRequest>(request_address);
  if (!request) return;
  const uint32_t result = perform(std::byteswap(request->control), std::byteswap(request->length),
                                  std::byteswap(request->address));
  // Zero tells the guest that it is done. Where the request lies in memory was just read, but may be
  // read-only.
  if (!memory_.store(request_address, std::byteswap(result))) return;
}

uint32_t FwCfg::perform(uint32_t control, uint32_t length, uint64_t address) {
  if (control & dma::select) select(static_cast<uint16_t>(control >> dma::key_shift));
  if (control & dma::read) {
    // One region holds all of it, or nothing is read: a length is never more than the guest's memory.
    const memory::Region* region = memory_.find(address, length);
    if (!region || region->read_only) return dma::error;
    take({region->host + (address - region->guest_address), length});
    memory_.mark_written(address, length);
    return 0;
  }
  if (control & dma::write) return dma::error;
  if (control & dma::skip) position_ += length;
  return 0;
}

}  // namespace alcove::chips
