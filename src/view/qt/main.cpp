// alcove-window: shows a machine of another process in a window. Started by `alcove` or a WindowView, never
// by hand.
#include <QApplication>
#include <QCloseEvent>
#include <QCommandLineParser>
#include <QMessageBox>
#include <QPushButton>
#include <QScreen>
#include <QSocketNotifier>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "view/qt/implementation.h"
#include "view/window/connection.h"

namespace alcove {

using view::window::Connection;
using view::window::Word;

class WindowProgram final : public VirtualMachineView {
 public:
  WindowProgram(std::unique_ptr<Connection> connection, bool asks)
      : connection_(*connection), asks_(asks), notifier_(connection->descriptor(), QSocketNotifier::Read) {
    connect(this, &VirtualMachineView::machine_changed, this, [this] { set_title(); });
    connect(&notifier_, &QSocketNotifier::activated, this, [this] {
      if (connection_.receive()) return implementation_->machine_changed();
      notifier_.setEnabled(false);
      is_over_ = true;
      QApplication::exit(0);
    });
    implementation_->show(std::move(connection), nullptr);
    set_automatically_reconfigures_display(true);
    resize(sizeHint().boundedTo(screen()->availableSize()));
  }

 private:
  void set_title() {
    const QString name = QString::fromStdString(connection_.name());
    if (is_shutting_down_) return setWindowTitle(tr("%1 (shutting down)").arg(name));
    setWindowTitle(connection_.state() == VirtualMachineState::paused ? tr("%1 (paused)").arg(name) : name);
  }
  void closeEvent(QCloseEvent* event) override {
    const bool runs = connection_.state() != VirtualMachineState::stopped &&
                      connection_.state() != VirtualMachineState::error;
    if (!asks_ || !runs || is_over_) {
      event->accept();
      return QApplication::exit(0);
    }
    event->ignore();
    if (!question_) ask();
  }
  void ask() {
    question_ = new QMessageBox(QMessageBox::Question, windowTitle(), tr("The machine is running."),
                                QMessageBox::Cancel, this);
    question_->setInformativeText(
        tr("Shutting down asks the guest, as its power button does. Stopping at once may lose "
           "what it has not written yet."));
    const QPushButton* shut_down = question_->addButton(tr("&Shut Down"), QMessageBox::AcceptRole);
    const QPushButton* stop = question_->addButton(tr("Stop &at Once"), QMessageBox::DestructiveRole);
    const QPushButton* leave = question_->addButton(tr("&Close Window Only"), QMessageBox::ActionRole);
    connect(question_, &QMessageBox::finished, this, [this, shut_down, stop, leave] {
      const auto* const answer = question_->clickedButton();
      std::exchange(question_, nullptr)->deleteLater();
      if (answer == shut_down) {
        is_shutting_down_ = true;
        connection_.say(Word::shut_down);
        set_title();
      } else if (answer == stop) {
        connection_.say(Word::stop);
      } else if (answer == leave) {
        QApplication::exit(0);
      }
    });
    question_->open();
  }

  Connection& connection_;
  const bool asks_;
  QSocketNotifier notifier_;
  QMessageBox* question_ = nullptr;
  bool is_shutting_down_ = false, is_over_ = false;
};

namespace {

int give_up(const char* what) {
  std::fprintf(stderr, "alcove-window: %s\n", what);
  return 1;
}

bool is_set(const char* variable) {
  const char* const value = std::getenv(variable);
  return value && *value;
}

// Qt ends the process by abort() where it can't open a window, and has said why in the first of its warnings.
void report(QtMsgType type, const QMessageLogContext&, const QString& text) {
  static QString first;
  if (first.isEmpty()) first = text.section('\n', 0, 0);
  if (type != QtFatalMsg) return;
  give_up(first.toLocal8Bit().constData());
  std::_Exit(1);
}

int main(int argc, char** argv) {
  if (!is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY") && !is_set("QT_QPA_PLATFORM")) {
    return give_up("there is no graphical session here: neither DISPLAY nor WAYLAND_DISPLAY is set");
  }
  qInstallMessageHandler(report);
  QApplication application(argc, argv);
  QApplication::setApplicationName("alcove");
  QApplication::setDesktopFileName("alcove");
  QApplication::setQuitOnLastWindowClosed(false);

  QCommandLineParser parser;
  parser.addOption({"connection", "Descriptor of a socket to the process that has the machine.", "fd"});
  parser.addOption({"capture-system-keys", "Give keys of the window system to the guest, too."});
  parser.addOption({"ask-when-closed", "Ask what is to become of the machine."});
  parser.process(application);
  bool is_number = false;
  UniqueFd socket(parser.value("connection").toInt(&is_number));
  if (!is_number) return give_up("is started by `alcove run --view window` and `alcove view NAME window`");
  auto connection = Connection::create(std::move(socket));
  if (!connection) return give_up(connection.error().message().c_str());

  WindowProgram window(*std::move(connection), parser.isSet("ask-when-closed"));
  window.set_captures_system_keys(parser.isSet("capture-system-keys"));
  window.show();
  return QApplication::exec();
}

}  // namespace
}  // namespace alcove

int main(int argc, char** argv) {
  return alcove::main(argc, argv);
}
