// Works on the files of a folder, which the host shares with the guest.
// usage: folder SECONDS FOLDER ROW…   prints share-metadata in files/s made, looked at and deleted,
// share-write and share-read in MB/s (the caches emptied before each reading), share-walk in files/s looked
// at (likewise).
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "row.h"

namespace {

constexpr size_t kFile = 64 << 20, kPiece = 1 << 20;
constexpr int kFolders = 20, kFiles = 100;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

void empty_caches() {
  const int file = ::open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (file < 0 || ::write(file, "3", 1) != 1) give_up("drop_caches");
  ::close(file);
}

uint64_t metadata(const std::string& folder, uint64_t rounds) {
  uint64_t files = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    const std::string path = folder + "/file-" + std::to_string(round % 100);
    const int file = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (file < 0) give_up("create");
    ::close(file);
    struct stat status;
    if (::stat(path.c_str(), &status) != 0 || ::unlink(path.c_str()) != 0) give_up("stat and unlink");
    files += S_ISREG(status.st_mode);
  }
  return files;
}

uint64_t write_all(const std::string& path, std::vector<char>& data) {
  const int file = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
  if (file < 0) give_up("open");
  uint64_t written = 0;
  while (written < kFile) {
    std::memset(data.data(), static_cast<int>(written / kPiece), 64);
    const ssize_t count = ::write(file, data.data(), data.size());
    if (count <= 0) give_up("write");
    written += static_cast<uint64_t>(count);
  }
  if (::fsync(file) != 0) give_up("fsync");
  ::close(file);
  return written;
}

uint64_t read_all(const std::string& path, std::vector<char>& data) {
  empty_caches();
  const int file = ::open(path.c_str(), O_RDONLY);
  if (file < 0) give_up("open");
  uint64_t sum = 0;
  ssize_t count;
  while ((count = ::read(file, data.data(), data.size())) > 0)
    sum += static_cast<unsigned char>(data[0]) + 1u;
  ::close(file);
  return sum;
}

uint64_t walk(const std::string& path) {
  uint64_t files = 0;
  DIR* const folder = ::opendir(path.c_str());
  if (!folder) give_up("opendir");
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    const std::string name = path + "/" + entry->d_name;
    struct stat status;
    if (::lstat(name.c_str(), &status) != 0) give_up("lstat");
    files += S_ISDIR(status.st_mode) ? walk(name) : 1;
  }
  ::closedir(folder);
  return files;
}

void make_tree(const std::string& path) {
  ::mkdir(path.c_str(), 0755);
  for (int folder = 0; folder < kFolders; ++folder) {
    const std::string name = path + "/folder-" + std::to_string(folder);
    ::mkdir(name.c_str(), 0755);
    for (int file = 0; file < kFiles; ++file)
      ::close(::open((name + "/file-" + std::to_string(file)).c_str(), O_CREAT | O_WRONLY, 0644));
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  const std::string folder = arguments[2];
  arguments[2] = arguments[1];
  const bench::Rows rows(count - 1, arguments + 1);
  rows.rate("share-metadata", "files/s", 1, 50, 50,
            [&](uint64_t rounds) { return metadata(folder, rounds); });
  std::vector<char> data(kPiece, 'x');
  const std::string file = folder + "/large";
  const auto repeat = [](uint64_t rounds, auto work) {
    uint64_t sum = 0;
    while (rounds-- > 0) sum += work();
    return sum;
  };
  rows.rate("share-write", "MB/s", kFile / 1e6, 1, kFile,
            [&](uint64_t rounds) { return repeat(rounds, [&] { return write_all(file, data); }); });
  if (rows.wants("share-read")) {
    write_all(file, data);
    // The first byte of each piece is its number.
    rows.rate("share-read", "MB/s", kFile / 1e6, 1, 63 * 64 / 2 + 64,
              [&](uint64_t rounds) { return repeat(rounds, [&] { return read_all(file, data); }); });
  }
  if (rows.wants("share-walk")) {
    const std::string tree = folder + "/tree";
    make_tree(tree);
    rows.rate("share-walk", "files/s", kFolders * kFiles, 1, kFolders * kFiles, [&](uint64_t rounds) {
      return repeat(rounds, [&] {
        empty_caches();
        return walk(tree);
      });
    });
  }
}
