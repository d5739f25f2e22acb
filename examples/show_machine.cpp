// Runs the machine of a machine file in a window of this program, until the guest shuts down or the window is
// closed.
#include <alcove/alcove.h>
#include <alcove/virtual_machine_view.h>

#include <QApplication>
#include <iostream>

int main(int argument_count, char** arguments) {
  QApplication application(argument_count, arguments);
  if (argument_count != 2) return std::cerr << "usage: show_machine MACHINE.toml\n", 2;
  const auto configuration = alcove::VirtualMachineConfiguration::load(arguments[1]);
  if (!configuration) return std::cerr << configuration.error().message() << '\n', 1;
  const auto machine = alcove::VirtualMachine::create(*configuration);
  if (!machine) return std::cerr << machine.error().message() << '\n', 1;

  alcove::VirtualMachineView view(**machine);  // This is all; the rest is what any machine needs.
  view.set_automatically_reconfigures_display(true);
  view.show();

  const auto quit = [] { QMetaObject::invokeMethod(qApp, &QCoreApplication::quit, Qt::QueuedConnection); };
  const alcove::Observation observation = (*machine)->observe({.guest_did_stop = quit});
  (*machine)->start([&](const alcove::Result<>& started) {
    if (started) return;
    std::cerr << started.error().message() << '\n';
    quit();
  });
  return QApplication::exec();
}
