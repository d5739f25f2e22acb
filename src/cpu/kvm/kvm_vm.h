#pragma once

#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "cpu/hypervisor.h"
#include "cpu/kvm/kvm_vcpu.h"

namespace alcove::cpu::kvm {

class KvmVm final : public Vm, private memory::WindowObserver {
 public:
  static Result<std::unique_ptr<KvmVm>> create(int kvm, const VmOptions& options);
  ~KvmVm() override { options_.memory->set_window_observer(nullptr); }

  unsigned cpu_count() const override { return static_cast<unsigned>(vcpus_.size()); }
  Vcpu& vcpu(unsigned index) override { return *vcpus_[index]; }
  uint64_t tsc_khz() const override { return vcpus_.front()->tsc_khz(); }
  void send(const bus::Message& message) override;
  void set_level_triggered_vectors(std::span<const uint64_t, 4> vectors) override;
  Result<> bind_doorbell(uint64_t address, unsigned size, int event_fd) override;
  void unbind_doorbell(uint64_t address, unsigned size, int event_fd) override;
  Result<> bind_interrupt(int event_fd, const bus::Message& message) override;
  void unbind_interrupt(int event_fd) override;
  Result<> fetch_dirty_log(uint64_t guest_address, std::span<uint64_t> bitmap) override;

 private:
  explicit KvmVm(const VmOptions& options) : options_(options) {}
  void on_window_moved(size_t window, uint64_t address) override;
  Result<> set_memory(uint32_t slot, bool log_dirty_pages);
  Result<> set_doorbell(uint64_t address, unsigned size, int event_fd, bool remove);
  Result<> write_routes();

  VmOptions options_;
  UniqueFd fd_;
  std::vector<std::unique_ptr<KvmVcpu>> vcpus_;

  std::mutex mutex_;  // Guards all below.
  std::vector<uint8_t> level_vectors_;
  struct Route {
    uint32_t gsi;
    bus::Message message;
  };
  std::map<int, Route> routes_;  // By eventfd.
  std::set<uint32_t> logged_slots_;
};

}  // namespace alcove::cpu::kvm
