// In a guest: sends a disk commands that it must refuse, past the block layer, and says for which it does not
// answer as the standards say. usage: refused_commands nvme /dev/nvme0n1 | refused_commands scsi /dev/sda
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>

namespace {

alignas(4096) std::array<uint8_t, 64 << 10> buffer;
int wrong = 0;

void expect(const char* what, int wanted, int found) {
  if (wanted == found) return;
  ++wrong;
  std::printf("%s: %#x, not %#x\n", what, static_cast<unsigned>(found), static_cast<unsigned>(wanted));
}

struct NvmeCommand {
  uint8_t opcode = 0;
  uint32_t namespace_id = 0, size = 0, dword10 = 0, dword11 = 0;
};

// The status field without "do not retry" and "more".
int nvme(int device, unsigned long request, const NvmeCommand& command) {
  nvme_passthru_cmd told{};
  told.opcode = command.opcode;
  told.nsid = command.namespace_id;
  told.addr = reinterpret_cast<uint64_t>(buffer.data());
  told.data_len = command.size;
  told.cdw10 = command.dword10;
  told.cdw11 = command.dword11;
  return ioctl(device, request, &told) & 0x7FF;
}
int admin(int device, const NvmeCommand& command) {
  return nvme(device, NVME_IOCTL_ADMIN_CMD, command);
}
int io(int device, const NvmeCommand& command) {
  return nvme(device, NVME_IOCTL_IO_CMD, command);
}

// NVM Express 1.4, figures 126 and 127.
void try_nvme(int controller) {
  constexpr uint32_t kAll = 0xFFFFFFFF;
  expect("an unknown admin command", 0x01, admin(controller, {.opcode = 0x7F}));
  expect("an unknown command", 0x01, io(controller, {.opcode = 0x7F, .namespace_id = 1}));
  expect("an unknown kind of Identify", 0x02,
         admin(controller, {.opcode = 6, .size = 4096, .dword10 = 0xFF}));
  expect("Identify of no namespace", 0x0B, admin(controller, {.opcode = 6, .namespace_id = 7, .size = 4096}));
  expect("an unknown log page", 0x109,
         admin(controller, {.opcode = 2, .namespace_id = kAll, .size = 4096, .dword10 = 0x7F | 1023 << 16}));
  expect("an unknown feature", 0x02, admin(controller, {.opcode = 0x0A, .dword10 = 0xFE}));
  expect("the end of a queue that is none", 0x101, admin(controller, {.opcode = 0, .dword10 = 99}));
  expect("the end of a completion queue in use", 0x10C, admin(controller, {.opcode = 4, .dword10 = 1}));
  expect("a completion queue's number in use", 0x101,
         admin(controller, {.opcode = 5, .dword10 = 1 | 7 << 16, .dword11 = 1}));
  expect("a submission queue's number in use", 0x101,
         admin(controller, {.opcode = 1, .dword10 = 1 | 7 << 16, .dword11 = 1 | 1 << 16}));
  expect("a submission queue's number beyond all", 0x101,
         admin(controller, {.opcode = 1, .dword10 = 0xFFF0 | 7 << 16, .dword11 = 1 | 1 << 16}));
  expect("a read past the end", 0x80,
         io(controller, {.opcode = 2, .namespace_id = 1, .size = 512, .dword11 = 1}));
  expect("a write past the end", 0x80,
         io(controller, {.opcode = 1, .namespace_id = 1, .size = 512, .dword11 = 1}));
  expect("a read", 0, io(controller, {.opcode = 2, .namespace_id = 1, .size = 512}));
}

// The sense key and the additional sense code; 0 without an error, less where the transport failed.
int scsi(int disk, std::span<const uint8_t> command, uint32_t size, int direction = SG_DXFER_FROM_DEV) {
  std::array<uint8_t, 32> sense{};
  sg_io_hdr request{};
  request.interface_id = 'S';
  request.dxfer_direction = size == 0 ? SG_DXFER_NONE : direction;
  request.cmd_len = static_cast<uint8_t>(command.size());
  request.mx_sb_len = sense.size();
  request.dxfer_len = size;
  request.dxferp = buffer.data();
  request.cmdp = const_cast<uint8_t*>(command.data());
  request.sbp = sense.data();
  request.timeout = 20000;
  if (ioctl(disk, SG_IO, &request) != 0) return -1;
  if (request.host_status != 0) return -request.host_status;
  return request.status == 0 ? 0 : (sense[2] & 0xF) << 8 | sense[12];
}
int scsi(int disk, std::initializer_list<uint8_t> command, uint32_t size, int direction = SG_DXFER_FROM_DEV) {
  return scsi(disk, std::span(command.begin(), command.size()), size, direction);
}

// SPC-4 and SBC-3.
void try_scsi(int disk) {
  expect("an unknown command", 0x520, scsi(disk, {0xC1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0));
  expect("an unknown action", 0x524, scsi(disk, {0x9E, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0}, 32));
  expect("a read past the end", 0x521, scsi(disk, {0x28, 0, 0x7F, 0, 0, 0, 0, 0, 1, 0}, 512));
  expect("a long read past the end", 0x521,
         scsi(disk, {0x88, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1, 0, 0}, 512));
  expect("a write past the end", 0x521,
         scsi(disk, {0x2A, 0, 0x7F, 0, 0, 0, 0, 0, 1, 0}, 512, SG_DXFER_TO_DEV));
  expect("an unknown page of Inquiry", 0x524, scsi(disk, {0x12, 1, 0x5A, 0, 255, 0}, 255));
  expect("an unknown mode page", 0x524, scsi(disk, {0x1A, 0, 0x2B, 0, 192, 0}, 192));
  std::memset(buffer.data(), 0xFF, buffer.size());
  expect("a list of nonsense to unmap", 0x521,
         scsi(disk, {0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, 24, SG_DXFER_TO_DEV));
  expect("a read", 0, scsi(disk, {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 512));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const int device = open(arguments[2], O_RDWR);
  if (device < 0) return std::perror(arguments[2]), 2;
  if (std::string_view(arguments[1]) == "nvme") {
    try_nvme(device);
  } else {
    try_scsi(device);
  }
  return wrong == 0 ? 0 : 1;
}
