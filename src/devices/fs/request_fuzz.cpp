// A hostile guest of the file system device: the input is a sequence of requests, each a length, and its
// bytes, with a header whose opcode is small and whose node one that was looked up so that most requests go
// far. The shared folder is a real one, and so is the window that its files are mapped in, all of whose pages
// are used in between.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "devices/fs/session.h"
#include "spec/virtio.h"
#include "support/testing/temporary_folder.h"
#include "virtio/device.h"

namespace {

using namespace alcove;

constexpr size_t kSlots = 3;

struct Quiet final : virtio::Interrupts {
  void queue(unsigned) override {}
  void configuration() override {}
  void needs_reset() override {}
};

struct World {
  TemporaryFolder place;
  const std::filesystem::path& folder = place.path();
  std::unique_ptr<share::Server> server;
  World() {
    fill();
    SharedDirectory plain, kept, fixed;
    kept.ownership = VirtualOwnership{};
    fixed.read_only = true;
    share::Share all{.folders = {share::make_root("a", plain, open("a")),
                                 share::make_root("b", kept, open("b")),
                                 share::make_root("c", fixed, open("c"))}};
    server = share::Server::create(std::move(all), {.open_files = 64, .paths = 16}).value();
  }
  UniqueFd open(const char* name) const {
    return UniqueFd(::open((folder / name).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  void fill() const {
    std::filesystem::create_directories(folder / "a/d");
    std::filesystem::create_directories(folder / "b");
    std::filesystem::create_directories(folder / "c");
    std::ofstream(folder / "c/f") << "canary";
    std::ofstream(folder / "canary") << "canary";
    std::ofstream(folder / "a/f") << "text";
    std::error_code ignored;
    std::filesystem::create_symlink("../canary", folder / "a/l", ignored);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = 0x40000};
    const uint64_t window = kSlots * devices::fs::DaxWindow::kSlotSize;
    return memory::GuestMemory::create(std::span(&region, 1), std::span(&window, 1)).value();
  }();
  static World world;
  world.fill();
  Quiet interrupts;
  devices::fs::DaxWindow window(memory, 0, *world.server);
  devices::fs::Session session(*world.server, &window);
  std::byte* base = memory.host_range(0, 0x40000);
  std::memset(base, 0, 0x4000);
  auto queue = virtio::Queue::create(memory, 8, {0x0, 0x1000, 0x2000}, false, 0, interrupts);
  if (!queue) __builtin_trap();
  const auto send = [&](const spec::fuse::InHeader& header, const uint8_t* body, uint32_t length,
                        uint32_t room) {
    std::memcpy(base + 0x4000, &header, sizeof header);
    std::memcpy(base + 0x4000 + sizeof header, body, length);
    const spec::virtio::Descriptor chain[] = {
        {0x4000, static_cast<uint32_t>(sizeof header + length), spec::virtio::kDescriptorNext, 1},
        {0x20000, room, spec::virtio::kDescriptorWrite, 0}};
    std::memcpy(base, chain, sizeof chain);
    uint16_t available;
    std::memcpy(&available, base + 0x1002, 2);
    ++available;
    std::memcpy(base + 0x1002, &available, 2);
    auto popped = (*queue)->pop();
    if (!popped || !*popped) return;
    auto parsed = devices::fs::parse(std::move(**popped), session.dialect());
    if (auto* refused = std::get_if<devices::fs::Refused>(&parsed))
      return devices::fs::finish(refused->unique, {.error = refused->error}, std::move(refused->chain),
                                 **queue);
    auto& request = std::get<devices::fs::Request>(parsed);
    const auto reply = session.process(request);
    devices::fs::finish(request.header.unique, reply, std::move(request.chain), **queue);
  };
  // Beginnings of slots, where the files are, and others, where they are not.
  const auto use_window = [&](uint8_t value) {
    auto* const shown = reinterpret_cast<volatile uint8_t*>(memory.windows()[0]->host());
    for (size_t slot = 0; slot < kSlots; ++slot) {
      for (const size_t at : {size_t{value & 7u}, size_t{value} * 4096}) {
        shown[slot * devices::fs::DaxWindow::kSlotSize + at] =
            static_cast<uint8_t>(shown[slot * devices::fs::DaxWindow::kSlotSize + at] ^ value);
      }
    }
  };
  spec::fuse::InHeader header{};
  const spec::fuse::InitializeIn first{7, 38, 0, ~0u};
  header.opcode = 26;
  header.length = sizeof header + sizeof first;
  send(header, reinterpret_cast<const uint8_t*>(&first), sizeof first, 0x1000);
  std::vector<uint64_t> nodes = {spec::fuse::kRootNode};
  for (unsigned i = 0; i < 64 && size >= 4; ++i) {
    header = {};
    header.opcode = data[0] & 63;
    header.node = (data[1] & 31u) < nodes.size() ? nodes[data[1] & 31u] : data[1] & 31u;
    header.unique = i + 1;
    header.user = data[2] & 3;
    const auto length = static_cast<uint32_t>(std::min<size_t>(data[3], size - 4));
    header.length = static_cast<uint32_t>(sizeof header + length + (data[2] == 0xff ? 1 : 0));
    send(header, data + 4, length, data[2] & 0x40 ? 16 + data[2] : 0x8000);
    spec::fuse::OutHeader reply;
    std::memcpy(&reply, base + 0x20000, sizeof reply);
    if (header.opcode == 1 && reply.unique == header.unique && reply.error == 0) {
      nodes.emplace_back();
      std::memcpy(&nodes.back(), base + 0x20000 + sizeof reply, sizeof nodes.back());
    }
    if (header.opcode >= 48) use_window(data[2]);
    data += 4 + length;
    size -= 4 + length;
  }
  session.reset();
  use_window(1);
  if (window.used_slots() != 0) __builtin_trap();
  for (const char* name : {"canary", "c/f"}) {
    std::ifstream canary(world.folder / name);
    if (std::string(std::istreambuf_iterator<char>(canary), {}) != "canary") __builtin_trap();
  }
  return 0;
}
