// Writes numbered records and says of each when the file system has promised to keep it; later checks that
// they are there. The one program runs in the guest that is killed, and on the host afterwards. usage:
// synced_records write FOLDER | check FOLDER LOG
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace {

constexpr size_t kRecordSize = 4096;
constexpr uint64_t kRecordsPerFile = 8;
using Record = std::array<uint64_t, kRecordSize / sizeof(uint64_t)>;

Record make_record(uint64_t number) {
  Record record;
  uint64_t state = number * 0x9e3779b97f4a7c15 + 1;
  for (uint64_t& word : record) word = state = state * 6364136223846793005 + 1442695040888963407;
  record[0] = number;
  return record;
}

[[noreturn]] void die(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

int open_file(const std::string& name, int flags) {
  const int fd = open(name.c_str(), flags, 0644);
  if (fd < 0) die(name);
  return fd;
}

void say(const char* what, uint64_t number) {
  std::array<char, 64> line;
  const int length =
      std::snprintf(line.data(), line.size(), "%s %llu.\n", what, static_cast<unsigned long long>(number));
  if (write(STDOUT_FILENO, line.data(), static_cast<size_t>(length)) != length) die("standard output");
}

// A record is said to be synced after fsync; a file to be renamed after fsync of its directory.
void write_records(const std::string& folder) {
  if (mkdir(folder.c_str(), 0755) != 0) die(folder);
  const int directory = open_file(folder, O_RDONLY | O_DIRECTORY);
  const int records = open_file(folder + "/records", O_WRONLY | O_CREAT | O_EXCL);
  if (fsync(directory) != 0) die("fsync");
  for (uint64_t number = 0;; ++number) {
    const Record record = make_record(number);
    if (write(records, record.data(), kRecordSize) != kRecordSize || fsync(records) != 0) die("records");
    say("synced", number);
    if (number % kRecordsPerFile != 0) continue;
    const std::string name = folder + "/" + std::to_string(number);
    const int file = open_file(name + ".new", O_WRONLY | O_CREAT | O_EXCL);
    if (write(file, record.data(), kRecordSize) != kRecordSize || fsync(file) != 0 || close(file) != 0)
      die(name);
    if (rename((name + ".new").c_str(), name.c_str()) != 0 || fsync(directory) != 0) die(name);
    say("renamed", number);
  }
}

bool holds(const std::string& file, uint64_t offset, uint64_t number) {
  Record found{};
  const int fd = open(file.c_str(), O_RDONLY);
  const bool read =
      fd >= 0 && pread(fd, found.data(), kRecordSize, static_cast<off_t>(offset)) == kRecordSize;
  if (fd >= 0) close(fd);
  return read && found == make_record(number);
}

int check_records(const std::string& folder, const std::string& log) {
  std::ifstream lines(log);
  uint64_t checked = 0;
  uint64_t missing = 0;
  for (std::string line; std::getline(lines, line);) {
    unsigned long long number = 0;
    char end = 0;  // A line that was cut off by the kill promises nothing.
    const bool synced = std::sscanf(line.c_str(), "synced %llu%c", &number, &end) == 2 && end == '.';
    const bool renamed =
        !synced && std::sscanf(line.c_str(), "renamed %llu%c", &number, &end) == 2 && end == '.';
    if (!synced && !renamed) continue;
    ++checked;
    if (synced ? holds(folder + "/records", number * kRecordSize, number)
               : holds(folder + "/" + std::to_string(number), 0, number)) {
      continue;
    }
    ++missing;
    std::printf("missing: %s\n", line.c_str());
  }
  std::printf("%llu promises, %llu broken\n", static_cast<unsigned long long>(checked),
              static_cast<unsigned long long>(missing));
  return checked > 0 && missing == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string verb = count > 1 ? arguments[1] : "";
  if (verb == "write" && count == 3) write_records(arguments[2]);
  if (verb == "check" && count == 4) return check_records(arguments[2], arguments[3]);
  std::fputs("usage: synced_records write FOLDER | check FOLDER LOG\n", stderr);
  return 2;
}
