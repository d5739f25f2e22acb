// A hostile xHCI driver. The input is a list of writes to registers and to guest memory; what it lays into
// memory may be rings, contexts or rubbish, for it begins with a controller that runs and a device with an
// address and endpoints.
#include <cstring>

#include "usb/testing/fake_driver.h"

namespace {

using namespace alcove;
using namespace alcove::usb::testing;

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  template <class T>
  T take() {
    T value{};
    const size_t count = std::min(sizeof value, size_);
    std::memcpy(&value, data_, count);
    data_ += count;
    size_ -= count;
    return value;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

// In the controller's turn.
void run(FakeDriver& driver, Input input) {
  constexpr uint64_t kUsed = 0x20000;  // Contexts and rings.
  std::memset(driver.memory().host_range(0, kUsed), 0, kUsed);
  auto device = std::make_shared<EchoDevice>();
  const auto port = driver.xhci().attach(device);
  driver.run();
  (void)driver.address(*port);
  (void)driver.configure({2, 3, 7, 9});
  Ring control = driver.control, out = driver.new_ring(2), in = driver.new_ring(3), held = driver.new_ring(7);
  Ring* const rings[] = {&driver.commands(), &control, &out, &in, &held};
  const auto complete = [&](uint8_t status, uint16_t transferred) {
    device->busy = false;
    if (usb::Transfer* kept = std::exchange(device->kept, nullptr)) {
      kept->complete(usb::Transfer::Status(status % 3), std::min<uint64_t>(transferred, kept->size()));
    }
  };
  while (!input.empty()) {
    switch (input.take<uint8_t>() % 10) {
      case 0:
        driver.write(input.take<uint16_t>() % usb::Xhci::kBarSize & ~3u, input.take<uint32_t>());
        break;
      case 1:
        (void)driver.read(input.take<uint16_t>() % usb::Xhci::kBarSize & ~3u);
        break;
      case 2: {  // A TRB on a ring, with addresses that are mostly memory.
        const uint8_t which = input.take<uint8_t>();
        spec::xhci::Trb trb{.parameter = input.take<uint32_t>(),
                            .status = input.take<uint32_t>() & 0xFFC1FFFF,
                            .control = input.take<uint32_t>()};
        if (which & 0x80) trb.parameter %= FakeDriver::kMemorySize;
        rings[which % 5]->add(trb);
        break;
      }
      case 3:
        driver.ring(input.take<uint8_t>() % 3, input.take<uint8_t>() % 32);
        break;
      case 4:
        (void)driver.memory().store(input.take<uint32_t>() % FakeDriver::kMemorySize, input.take<uint64_t>());
        break;
      case 5:
        (void)driver.memory().store((FakeDriver::kInput + input.take<uint16_t>() % 0x440) & ~3ull,
                                    input.take<uint32_t>());
        break;
      case 6:
        while (driver.event(false)) {
        }
        driver.acknowledge();
        break;
      case 7:
        complete(input.take<uint8_t>(), input.take<uint16_t>());
        break;
      case 8:
        device->busy = device->kept != nullptr;
        break;
      default:
        if (input.take<uint8_t>() % 8 == 0) {
          driver.xhci().detach(input.take<uint8_t>() % 20, [](const std::shared_ptr<usb::Device>&) {});
        }
        driver.settle();
        break;
    }
  }
  driver.settle();
  complete(0, 1);
  driver.settle();
  for (unsigned number = 1; number <= usb::Xhci::kPortCount; ++number)
    driver.xhci().detach(number, [](const std::shared_ptr<usb::Device>&) {});
  driver.settle();
  driver.reset();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Kept, and without changes of threads: either costs more than most inputs do.
  static FakeDriver driver;
  driver.xhci().strand().call([&] { run(driver, Input(data, size)); });
  return 0;
}
