// In a guest: maps files of shared folders, which the host changes meanwhile, and says what is not as it
// should be. usage: map_files FOLDER READ-ONLY-FOLDER DISK; mapped_files says what the host does.
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string folder;

void expect(bool right, const char* what) {
  if (!right) std::printf("guest: wrong: %s (%s)\n", what, std::strerror(errno));
}

// Lets the host go on, and waits until it has.
void host_does(const char* what) {
  const std::string asked = folder + "/ask." + what, done = folder + "/done." + what;
  close(open(asked.c_str(), O_CREAT | O_WRONLY, 0644));
  for (int i = 0; access(done.c_str(), F_OK) != 0; ++i) {
    if (i == 1200) {
      std::printf("guest: wrong: the host did not %s\n", what);
      std::exit(1);
    }
    usleep(50'000);
  }
}

struct Mapping {
  Mapping(const std::string& name, int flags = O_RDWR, int protection = PROT_READ | PROT_WRITE)
      : file(open(name.c_str(), flags)) {
    struct stat status{};
    expect(file >= 0 && fstat(file, &status) == 0, ("open " + name).c_str());
    size = static_cast<size_t>(status.st_size);
    bytes = static_cast<uint8_t*>(mmap(nullptr, size, protection, MAP_SHARED, file, 0));
    expect(bytes != MAP_FAILED, ("map " + name).c_str());
    if (bytes == MAP_FAILED) std::exit(1);
  }
  ~Mapping() {
    munmap(bytes, size);
    close(file);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  int file;
  size_t size = 0;
  volatile uint8_t* at(size_t offset) const { return bytes + offset; }
  uint8_t* bytes;
};

sigjmp_buf back;
// What is read there, or -1 if the guest's kernel has no page for it.
int read_at(const Mapping& mapping, size_t offset) {
  return sigsetjmp(back, 1) == 0 ? *mapping.at(offset) : -1;
}
void write_at(const Mapping& mapping, size_t offset, uint8_t value) {
  if (sigsetjmp(back, 1) == 0) *mapping.at(offset) = value;
}

bool is_dax(const std::string& name) {
  struct statx status{};
  return statx(AT_FDCWD, name.c_str(), 0, STATX_BASIC_STATS, &status) == 0 &&
         (status.stx_attributes & STATX_ATTR_DAX);
}

// Both write to one file at once, and see at once what the other has.
void both_ways() {
  const Mapping mapping(folder + "/both");
  expect(is_dax(folder + "/both"), "the file is mapped itself");
  for (size_t i = 0; i < mapping.size; i += 4096) expect(*mapping.at(i) == 'h', "what the host wrote before");
  for (size_t i = 100; i < mapping.size; i += 4096) *mapping.at(i) = 'g';
  host_does("look");
  for (size_t i = 200; i < mapping.size; i += 4096)
    expect(*mapping.at(i) == 'H', "what the host wrote meanwhile");
  // Of a kind that no mapping of the guest's takes part in.
  const char text[] = "written", more[] = "appended";
  expect(pwrite(mapping.file, text, sizeof text, 300) == sizeof text, "write(2)");
  expect(std::memcmp(mapping.bytes + 300, text, sizeof text) == 0, "what write(2) wrote");
  expect(pwrite(mapping.file, more, sizeof more, static_cast<off_t>(mapping.size)) == sizeof more, "append");
  char read_back[sizeof more];
  expect(pread(mapping.file, read_back, sizeof more, static_cast<off_t>(mapping.size)) == sizeof more &&
             std::memcmp(read_back, more, sizeof more) == 0,
         "what was appended");
  expect(msync(mapping.bytes, mapping.size, MS_SYNC) == 0 && fsync(mapping.file) == 0, "fsync(2)");
}

// The host cuts a file short that is mapped, and makes it long again.
void cut_short() {
  const Mapping mapping(folder + "/short");
  constexpr size_t kAt = 3 << 20;
  expect(*mapping.at(kAt) == 's', "a file before it was cut");
  host_does("cut");
  const int before = read_at(mapping, kAt);
  expect(before == 0 || before == -1, "behind the end of a file are zeroes, or nothing");
  for (size_t i = kAt; i < mapping.size; i += 4096) write_at(mapping, i, 'x');
  for (size_t i = 5; i < mapping.size; i += 8192) write_at(mapping, i, 'x');
  struct stat status{};
  expect(stat((folder + "/short").c_str(), &status) == 0, "look at what was cut");
  host_does("grow");
  // Attributes are kept for a second.
  for (int i = 0; i < 60 && status.st_size == 0; ++i) {
    usleep(50'000);
    expect(stat((folder + "/short").c_str(), &status) == 0, "look at what has grown");
  }
  for (size_t i = 0; i < mapping.size; i += 4096)
    expect(read_at(mapping, i) == 'S', "what the file has grown by");
  for (size_t i = 1; i < mapping.size; i += 4096) write_at(mapping, i, 'w');
}

// A window of 8 MiB shows all of a file of 48 MiB, some at a time.
void larger_than_the_window() {
  const Mapping mapping(folder + "/large");
  const auto word = [&](size_t page) {
    return reinterpret_cast<volatile uint64_t*>(mapping.bytes + page * 4096);
  };
  const size_t pages = mapping.size / 4096;
  uint64_t wrong = 0, random = 1;
  for (size_t page = 0; page < pages; ++page) wrong += *word(page) != page + 1;
  for (size_t i = 0; i < pages; ++i) {
    random = random * 6364136223846793005 + 1442695040888963407;
    const size_t page = random >> 40;
    wrong += *word(page % pages) != page % pages + 1;
  }
  for (size_t page = pages; page-- > 0;) word(page)[1] = ~static_cast<uint64_t>(page);
  for (size_t page = 0; page < pages; ++page) wrong += word(page)[1] != ~static_cast<uint64_t>(page);
  expect(wrong == 0, "pages of a file larger than the window");
}

void read_only(const std::string& other) {
  const Mapping mapping(other + "/words", O_RDONLY, PROT_READ);
  expect(*mapping.at(0) == 'r', "a file of a folder to be read");
  expect(mprotect(mapping.bytes, mapping.size, PROT_READ | PROT_WRITE) != 0,
         "it can't be mapped to be written");
  expect(open((other + "/words").c_str(), O_RDWR) < 0, "nor opened");
}

// A disk's device reads into a file of the host's.
void read_from_disk(const char* disk) {
  const Mapping mapping(folder + "/from-disk");
  const int from = open(disk, O_RDONLY | O_DIRECT);
  expect(from >= 0, "open the disk");
  const ssize_t size = pread(from, mapping.bytes + 4096, 64 << 10, 0);
  expect(size == 64 << 10, "read from a disk into a mapped file");
  for (size_t i = 0; i < 64 << 10; ++i)
    if (mapping.bytes[4096 + i] != 'd') return expect(false, "what was read from a disk");
  const int to = open(disk, O_WRONLY | O_DIRECT);
  expect(pwrite(to, mapping.bytes + (1 << 20), 4096, 128 << 10) == 4096, "write a mapped file to a disk");
  close(from);
  close(to);
}

}  // namespace

int main(int, char** arguments) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  struct sigaction action{};
  action.sa_handler = [](int) { siglongjmp(back, 1); };
  sigaction(SIGBUS, &action, nullptr);
  folder = arguments[1];
  both_ways();
  cut_short();
  larger_than_the_window();
  read_only(arguments[2]);
  read_from_disk(arguments[3]);
  std::printf("guest: all mapped\n");
}
