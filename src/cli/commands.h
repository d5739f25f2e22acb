// The subcommands. Each returns the program's exit status.
#pragma once

#include <alcove/alcove.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/bundle.h"
#include "cli/machine_options.h"
#include "cli/view_options.h"

namespace alcove::cli {

// Runs a machine with its console on this terminal until it stops, and shows its display, if so wished.
int run(const VirtualMachineConfiguration& configuration, const ViewOptions& view);

int create(const std::string& name, const MachineOptions& options, const std::string& new_disk_size);
// Starts it in the background and returns once it runs.
int start(const Bundle& bundle);
// Presses the power button and waits, or with `force` pulls the plug.
int stop(const Bundle& bundle, bool force, unsigned timeout_seconds);
int pause(const Bundle& bundle);
int resume(const Bundle& bundle);
int console(const Bundle& bundle);
// The display as a PNG file, by default NAME.png in this folder; "-": standard output.
int screenshot(const Bundle& bundle, const std::string& file, unsigned display);
// Presses the keys that write `text`, or with `combination` those of a text like "ctrl-alt-f2"; each stroke
// takes two delays.
int type(const Bundle& bundle, const std::string& text, const std::vector<std::string>& combinations,
         unsigned delay_milliseconds);
// Shows the display of a running machine until it stops or this program is interrupted.
int view(const Bundle& bundle, const ViewOptions& options);
// FILE with options as for --usb-disk; the id that `usb list` shows, or its beginning.
int usb_attach(const Bundle& bundle, const std::string& device);
int usb_detach(const Bundle& bundle, const std::string& id);
// Another disc for a drive; none with an empty `device`.
int usb_change(const Bundle& bundle, const std::string& id, const std::string& device);
// Joins standard input and output with a port of the guest, or hands the connection to ssh, which is at
// standard output.
int connect(const Bundle& bundle, uint32_t port, bool pass_descriptor);
struct SshOptions {
  std::string user;
  uint32_t port = 22;
  std::vector<std::string> identities, options;  // As for ssh's -i and -o.
  std::vector<std::string> command;
};
// Becomes ssh, to [USER@]NAME.
int ssh(const std::string& destination, const SshOptions& options);
int usb_list(const Bundle& bundle, bool json);
// A running machine's disks; a disk's number is as `storage_list` shows it.
int storage_list(const Bundle& bundle, bool json);
// FILE with options as for --disk or --nvme; prints its number.
int storage_attach(const Bundle& bundle, const std::string& device, bool nvme);
// Seconds that the guest may take; with `force` none by default.
int storage_detach(const Bundle& bundle, unsigned disk, std::optional<unsigned> timeout, bool force);
int storage_resize(const Bundle& bundle, unsigned disk, const std::string& size);
// Sizes and numbers; 0: no limit.
int storage_limit(const Bundle& bundle, unsigned disk, const std::string& bytes_per_second,
                  unsigned operations_per_second);
int stats(const Bundle& bundle, bool json);
// Prints what happens to a running machine, until it stops or this program is interrupted.
int events(const Bundle& bundle, bool json);
int list(bool json);
int info(const Bundle& bundle, bool json);
int remove(const Bundle& bundle, bool yes);

int doctor(bool json);
// Says on stderr why KVM, if the configuration insists on it, is not likely to run the guest.
void warn_about_hypervisor(const VirtualMachineConfiguration& configuration);

// Body of the background process that start() makes: runs the machine and answers on its control socket.
// Tells on `ready` (closed then) "ok" or an Error as JSON.
int supervise(const Bundle& bundle, int ready);

}  // namespace alcove::cli
