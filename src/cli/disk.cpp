#include "cli/disk.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <memory>

#include "cli/machine_options.h"
#include "cli/output.h"

namespace alcove::cli {

namespace {

struct DiskArguments {
  std::string file, destination, size, format = "auto", to = "qcow2", cluster_size = "64KiB";
  std::string backing_file, backing_format = "auto", compress;
  bool force = false, backing = false, json = false, repair = false, shrink = false, quiet = false;
};

// A line on a terminal that is written over and over, and is gone at the end.
class Progress {
 public:
  explicit Progress(bool quiet) : is_shown_(!quiet && isatty(STDERR_FILENO)) {}
  ~Progress() {
    if (shown_ >= 0) fmt::print(stderr, "\r\033[K");
  }
  bool show(double done) {
    const int percent = static_cast<int>(done * 100);
    if (!is_shown_ || percent == shown_) return true;
    shown_ = percent;
    constexpr int kWidth = 40;
    const int full = percent * kWidth / 100;
    fmt::print(stderr, "\r[{:=<{}}{: <{}}] {:3}%", "", full, "", kWidth - full, percent);
    std::fflush(stderr);
    return true;
  }

 private:
  bool is_shown_;
  int shown_ = -1;
};

Result<DiskImageFormat> parse_format(const std::string& option, const std::string& text) {
  if (const auto format = from_string<DiskImageFormat>(text)) return *format;
  return fail(ErrorCode::invalid_virtual_machine_configuration, option,
              fmt::format("'{}' is not a format", text), "use raw or qcow2");
}

Result<DiskImageStorageDeviceAttachment> source_of(const DiskArguments& arguments) {
  const auto format = parse_format("--format", arguments.format);
  if (!format) return std::unexpected(format.error());
  return DiskImageStorageDeviceAttachment{
      .path = arguments.file, .format = *format, .allow_backing_files = arguments.backing};
}

Result<DiskImageCreationOptions> creation_of(const DiskArguments& arguments, const std::string& format_option,
                                             const std::string& format_text) {
  const auto format = parse_format(format_option, format_text);
  if (!format) return std::unexpected(format.error());
  const auto cluster_size = parse_size_option("--cluster-size", arguments.cluster_size);
  if (!cluster_size) return std::unexpected(cluster_size.error());
  const auto backing_format = parse_format("--backing-format", arguments.backing_format);
  if (!backing_format) return std::unexpected(backing_format.error());
  return DiskImageCreationOptions{.format = *format,
                                  .overwrite = arguments.force,
                                  .cluster_size = *cluster_size,
                                  .backing_file = arguments.backing_file,
                                  .backing_format = *backing_format};
}

int create_disk(const DiskArguments& arguments) {
  auto options = creation_of(arguments, "--format", arguments.to);
  if (!options) return report(options.error());
  if (!arguments.size.empty()) {
    const auto size = parse_size_option("SIZE", arguments.size);
    if (!size) return report(size.error());
    options->size = *size;
  } else if (arguments.backing_file.empty()) {
    return report({ErrorCode::invalid_virtual_machine_configuration, "SIZE", "is missing",
                   "give the disk's size, such as 20GiB"});
  }
  const auto made = DiskImage::create(arguments.file, *options);
  return made ? 0 : report(made.error());
}

std::string time_text(uint64_t seconds) {
  const auto time = static_cast<time_t>(seconds);
  tm parts{};
  char text[32];
  localtime_r(&time, &parts);
  return {text, std::strftime(text, sizeof text, "%F %T", &parts)};
}

int show_disk(const DiskArguments& arguments) {
  const auto format = parse_format("--format", arguments.format);
  if (!format) return report(format.error());
  const auto found = DiskImage::information(arguments.file, *format);
  if (!found) return report(found.error());
  if (arguments.json) {
    nlohmann::json json = {{"path", arguments.file},
                           {"format", to_string(found->format)},
                           {"size", found->size},
                           {"allocated_size", found->allocated_size}};
    if (found->format == DiskImageFormat::qcow2) {
      json["version"] = found->version;
      json["cluster_size"] = found->cluster_size;
      json["compression"] = found->compression;
      json["dirty"] = found->is_dirty;
      json["damaged"] = found->is_damaged;
      if (!found->backing_file.empty()) json["backing_file"] = found->backing_file;
      if (found->backing_format) json["backing_format"] = to_string(*found->backing_format);
      json["snapshots"] = nlohmann::json::array();
      for (const DiskImageSnapshot& snapshot : found->snapshots) {
        json["snapshots"].push_back({{"id", snapshot.id},
                                     {"name", snapshot.name},
                                     {"time", snapshot.seconds},
                                     {"vm_state_size", snapshot.vm_state_size},
                                     {"disk_size", snapshot.disk_size}});
      }
    }
    // Names in images need not be UTF-8.
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return 0;
  }
  fmt::print("format     {}{}\n", to_string(found->format),
             found->version ? fmt::format(", version {}", found->version) : "");
  fmt::print("size       {}\n", format_size(found->size));
  fmt::print("on host    {}\n", format_size(found->allocated_size));
  if (found->format == DiskImageFormat::raw) return 0;
  fmt::print("clusters   {}, compressed by {}\n", format_size(found->cluster_size), found->compression);
  if (!found->backing_file.empty()) {
    fmt::print("backing    {}{}\n", found->backing_file,
               found->backing_format ? fmt::format(" ({})", to_string(*found->backing_format)) : "");
  }
  if (found->is_dirty) fmt::print("state      was not closed properly\n");
  if (found->is_damaged) fmt::print("state      damaged\n");
  for (const DiskImageSnapshot& snapshot : found->snapshots)
    fmt::print("snapshot   {}  {}  {}\n", snapshot.id, snapshot.name, time_text(snapshot.seconds));
  return 0;
}

// 0: nothing is wrong any more; 3: leaks only; 2: errors. As qemu-img check says it.
int check_disk(const DiskArguments& arguments) {
  Result<DiskImageCheck> found;
  {
    Progress progress(arguments.quiet || arguments.json);
    found = DiskImage::check(arguments.file, {.repair = arguments.repair},
                             [&](double done) { return progress.show(done); });
  }
  if (!found) return report(found.error());
  if (arguments.json) {
    const nlohmann::json json = {{"path", arguments.file},
                                 {"errors", found->errors},
                                 {"leaks", found->leaks},
                                 {"repaired_errors", found->repaired_errors},
                                 {"repaired_leaks", found->repaired_leaks},
                                 {"disk_clusters", found->disk_clusters},
                                 {"allocated_clusters", found->allocated_clusters},
                                 {"compressed_clusters", found->compressed_clusters},
                                 {"end", found->end},
                                 {"messages", found->messages}};
    fmt::print("{}\n", json.dump(2));
  } else {
    for (const std::string& message : found->messages) fmt::print("{}\n", message);
    const auto count = [](const char* what, uint64_t number, uint64_t repaired) {
      if (number)
        fmt::print("{} {}{}\n", number, what, repaired ? fmt::format(", {} repaired", repaired) : "");
    };
    count("errors", found->errors, found->repaired_errors);
    count("clusters that are counted and not used", found->leaks, found->repaired_leaks);
    if (found->errors == 0 && found->leaks == 0) fmt::print("no errors\n");
    fmt::print("{} of {} clusters allocated, {} of them compressed\n", found->allocated_clusters,
               found->disk_clusters, found->compressed_clusters);
  }
  if (found->is_clean()) return 0;
  return found->errors > found->repaired_errors ? 2 : 3;
}

int convert_disk(const DiskArguments& arguments) {
  const auto source = source_of(arguments);
  if (!source) return report(source.error());
  const auto options = creation_of(arguments, "--to", arguments.to);
  if (!options) return report(options.error());
  DiskImageConversionOptions conversion{.destination = *options};
  if (!arguments.compress.empty()) {
    if (arguments.compress != "zlib" && arguments.compress != "zstd") {
      return report({ErrorCode::invalid_virtual_machine_configuration, "--compress",
                     fmt::format("'{}' is no compression", arguments.compress), "use zlib or zstd"});
    }
    conversion.compress = true;
    conversion.zstd = arguments.compress == "zstd";
  }
  Result<> done;
  {
    Progress progress(arguments.quiet);
    done = DiskImage::convert(*source, arguments.destination, conversion,
                              [&](double part) { return progress.show(part); });
  }
  return done ? 0 : report(done.error());
}

int resize_disk(const DiskArguments& arguments) {
  const auto image = source_of(arguments);
  if (!image) return report(image.error());
  std::string text = arguments.size;
  const bool is_added = text.starts_with('+');
  if (is_added) text.erase(0, 1);
  auto size = parse_size_option("SIZE", text);
  if (!size) return report(size.error());
  if (is_added) {
    const auto found = DiskImage::information(arguments.file, image->format);
    if (!found) return report(found.error());
    *size += found->size;
  }
  const auto done = DiskImage::resize(*image, *size, arguments.shrink);
  if (done) return 0;
  Error error = done.error();
  if (error.hint.empty() && !arguments.shrink) error.hint = "--shrink allows that";
  return report(error);
}

}  // namespace

void add_disk_commands(CLI::App& app, int& status) {
  CLI::App* disk = app.add_subcommand("disk", "Make, examine, check, convert and resize disk images");
  disk->require_subcommand(1);
  const auto arguments = std::make_shared<DiskArguments>();
  const auto add = [&](const char* command, const char* help, int (*action)(const DiskArguments&)) {
    CLI::App* added = disk->add_subcommand(command, help);
    added->add_option("FILE", arguments->file, "The image")->required()->type_name("");
    added->callback([=, &status] { status = action(*arguments); });
    return added;
  };
  const auto add_format = [&](CLI::App* command) {
    command->add_option("--format", arguments->format, "The image's: raw, qcow2 or auto (default: auto)")
        ->type_name("FORMAT");
  };
  const auto add_new = [&](CLI::App* command) {
    command->add_option("--cluster-size", arguments->cluster_size, "Of qcow2: 512 to 2MiB (default: 64KiB)")
        ->type_name("SIZE");
    command->add_flag("--force", arguments->force, "Overwrite a file that is there");
  };
  const auto add_backing = [&](CLI::App* command) {
    command->add_flag("--backing", arguments->backing,
                      "Open the images that it names itself as those below it");
  };
  CLI::App* create = add("create", "Make an empty image", create_disk);
  create
      ->add_option("SIZE", arguments->size,
                   "Of the disk, such as 20GiB; left out with --backing-file: its size")
      ->type_name("");
  create->add_option("--format", arguments->to, "raw or qcow2 (default: qcow2)")->type_name("FORMAT");
  create
      ->add_option("--backing-file", arguments->backing_file,
                   "Make an overlay: what is not written is read in this image, named from FILE's folder")
      ->type_name("IMAGE");
  create->add_option("--backing-format", arguments->backing_format, "Of --backing-file (default: found out)")
      ->type_name("FORMAT");
  add_new(create);

  CLI::App* info = add("info", "Show what an image is, and its snapshots", show_disk);
  add_format(info);
  info->add_flag("--json", arguments->json, "For programs");

  CLI::App* check = add("check", "Check a qcow2 image that is not in use", check_disk);
  check->add_flag("--repair", arguments->repair, "Mend what can be mended");
  check->add_flag("--json", arguments->json, "For programs");
  check->add_flag("--quiet", arguments->quiet, "Show no progress");

  CLI::App* convert = add("convert", "Copy a disk to a new image, without what is empty", convert_disk);
  convert->add_option("DESTINATION", arguments->destination, "The file to make")->required()->type_name("");
  add_format(convert);
  convert->add_option("--to", arguments->to, "The new image's format: raw or qcow2 (default: qcow2)")
      ->type_name("FORMAT");
  convert->add_option("--compress", arguments->compress, "Compress by zlib or zstd (default: not)")
      ->type_name("HOW");
  add_backing(convert);
  add_new(convert);
  convert->add_flag("--quiet", arguments->quiet, "Show no progress");

  CLI::App* resize = add("resize", "Change the size of a disk that is not in use", resize_disk);
  resize->add_option("SIZE", arguments->size, "The new size, or +SIZE more")->required()->type_name("");
  add_format(resize);
  add_backing(resize);
  resize->add_flag("--shrink", arguments->shrink, "Cut off what lies beyond the new size");
}

}  // namespace alcove::cli
