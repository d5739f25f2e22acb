// Views of the fake machine, whose display is all of one colour, without a screen; and the program with a
// window.
#include <alcove/alcove.h>
#include <alcove/virtual_machine_view.h>
#include <unistd.h>

#include <QClipboard>
#include <QFocusEvent>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QNativeGestureEvent>
#include <QPointingDevice>
#include <QWheelEvent>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>

#include "support/testing/temporary_folder.h"
#include "view/qt/testing/application.h"

namespace alcove {
namespace {

using view::qt::testing::wait_for;

const auto* const kApplication = ::testing::AddGlobalTestEnvironment(new view::qt::testing::Application);
constexpr QRgb kFirstColour = qRgb(0x12, 0x34, 0x56);

struct VirtualMachineViewTest : ::testing::Test {
  const TemporaryFolder temporary;
  const std::filesystem::path& folder = temporary.path();
  std::unique_ptr<VirtualMachine> machine;

  VirtualMachineViewTest() {
    std::ofstream(folder / "kernel") << "kernel";
    machine = VirtualMachine::create(
                  {.label = "seen",
                   .boot_loader =
                       LinuxBootLoader{.kernel = folder / "kernel", .command_line = "stop_on_request agent"},
                   .graphics_devices = {VirtioGraphicsDeviceConfiguration{
                       .scanouts = {{.width = 64, .height = 64}}}},
                   .console_devices = {VirtioConsoleDeviceConfiguration{
                       .ports = {{.name = "com.redhat.spice.0", .attachment = SpiceAgentPortAttachment{}}}}},
                   .keyboards = {VirtioKeyboardConfiguration{}},
                   .pointing_devices = {VirtioScreenCoordinatePointingDeviceConfiguration{},
                                        VirtioTrackpadConfiguration{}},
                   .memory_balloon_devices = {VirtioTraditionalMemoryBalloonDeviceConfiguration{}},
                   .hypervisor = HypervisorChoice::soft},
                  {.machine_program = ALCOVE_FAKE_VM})
                  .value();
  }
  void start() {
    std::promise<Result<>> started;
    machine->start([&](Result<> result) { started.set_value(std::move(result)); });
    ASSERT_TRUE(started.get_future().get());
  }
  GraphicsDisplay& display() { return *machine->graphics_devices()[0]->displays()[0]; }
  static QRgb colour(QWidget& widget, QPoint at) { return widget.grab().toImage().pixel(at); }
  // How many events have arrived, how many of them press and release something.
  std::array<uint64_t, 3> input() {
    std::promise<MemoryBalloonStatistics> told;
    machine->memory_balloon_devices()[0]->statistics([&](Result<MemoryBalloonStatistics> result) {
      told.set_value(result.value_or(MemoryBalloonStatistics{}));
    });
    const auto statistics = told.get_future().get();
    return {statistics.swapped_in.value_or(0), statistics.major_faults.value_or(0),
            statistics.minor_faults.value_or(0)};
  }
};

TEST_F(VirtualMachineViewTest, ShowsWhatTheGuestShows) {
  VirtualMachineView view(*machine);
  EXPECT_EQ(view.virtual_machine(), machine.get());
  EXPECT_EQ(view.windowTitle(), "seen");
  EXPECT_EQ(view.sizeHint(), QSize(64, 64));
  view.resize(128, 64);
  view.show();
  EXPECT_NE(colour(view, {64, 32}), kFirstColour);
  start();
  EXPECT_TRUE(wait_for([&] { return colour(view, {64, 32}) == kFirstColour; }));
  // In the middle, with its proportions, and dark beside it.
  EXPECT_EQ(colour(view, {32, 0}), kFirstColour);
  EXPECT_EQ(colour(view, {95, 63}), kFirstColour);
  EXPECT_EQ(colour(view, {31, 32}), qRgb(0x20, 0x20, 0x20));
  EXPECT_EQ(colour(view, {96, 32}), qRgb(0x20, 0x20, 0x20));

  ASSERT_TRUE(view.set_virtual_machine(nullptr));
  EXPECT_EQ(view.windowTitle(), "");
  EXPECT_EQ(colour(view, {64, 32}), qRgb(0x20, 0x20, 0x20));
  EXPECT_EQ(machine->state(), VirtualMachineState::running);
  EXPECT_FALSE(view.set_virtual_machine(machine.get(), 1));
}

TEST_F(VirtualMachineViewTest, MakesTheDisplayFollow) {
  start();
  VirtualMachineView view(*machine), other(*machine);
  view.set_automatically_reconfigures_display(true);
  view.resize(100, 80);
  view.show();
  EXPECT_TRUE(wait_for([&] { return display().size_in_pixels() == DisplaySize{100, 80}; }));
  EXPECT_TRUE(wait_for([&] { return colour(view, {99, 79}) == kFirstColour + 1; }));
  EXPECT_EQ(display().pixels_per_inch(), 96u);
  other.set_automatically_reconfigures_display(true);
  EXPECT_FALSE(view.automatically_reconfigures_display());
  other.resize(200, 90);
  other.show();
  EXPECT_TRUE(wait_for([&] { return display().size_in_pixels() == DisplaySize{200, 90}; }));
  view.resize(101, 81);
  EXPECT_TRUE(wait_for([&] { return colour(other, {199, 89}) == kFirstColour + 2; }));
}

TEST_F(VirtualMachineViewTest, AsksASecondRunAgain) {
  VirtualMachineView view(*machine);
  view.set_automatically_reconfigures_display(true);
  view.resize(100, 80);
  view.show();
  for (int run = 0; run < 2; ++run) {
    start();
    EXPECT_TRUE(wait_for([&] { return display().size_in_pixels() == DisplaySize{100, 80}; }));
    std::promise<void> stopped;
    machine->stop([&](const Result<>&) { stopped.set_value(); });
    stopped.get_future().get();
  }
}

// The guest copies "echo: " and whatever it is given.
TEST_F(VirtualMachineViewTest, SharesTheClipboardWithTheDesktop) {
  QClipboard& desktop = *QGuiApplication::clipboard();
  const auto focus = [](QWidget& view, bool has) {
    QFocusEvent event(has ? QEvent::FocusIn : QEvent::FocusOut);
    QApplication::sendEvent(&view, &event);
  };
  VirtualMachineView view(*machine);
  view.show();
  focus(view, false);
  start();
  ASSERT_TRUE(wait_for([&] { return machine->clipboard()->is_connected(); }));
  desktop.setText("not for a view without focus");
  focus(view, true);
  desktop.setText("first");
  EXPECT_TRUE(wait_for([&] { return desktop.text() == "echo: first"; }));
  focus(view, false);
  desktop.setText("second");
  focus(view, true);
  EXPECT_TRUE(wait_for([&] { return desktop.text() == "echo: second"; }));
  // Again, after the guest had something else.
  desktop.setText("second");
  EXPECT_TRUE(wait_for([&] { return desktop.text() == "echo: second"; }));
}

TEST_F(VirtualMachineViewTest, PassesGesturesOn) {
  VirtualMachineView view(*machine);
  view.resize(64, 64);
  view.show();
  const auto send = [&](Qt::NativeGestureType type, double value, int fingers = 2, QPointF delta = {}) {
    QNativeGestureEvent event(type, QPointingDevice::primaryPointingDevice(), fingers, {32, 32}, {32, 32},
                              {32, 32}, value, delta);
    QApplication::sendEvent(&view, &event);
    EXPECT_TRUE(event.isAccepted());
  };
  send(Qt::ZoomNativeGesture, 0.1);  // Nobody is there.
  start();
  const uint64_t before = input()[0];
  send(Qt::BeginNativeGesture, 0);
  send(Qt::ZoomNativeGesture, 0.1);
  send(Qt::RotateNativeGesture, 5);
  send(Qt::EndNativeGesture, 0);
  EXPECT_EQ(input()[0] - before, 4u);
  // A swipe that is told as a whole: the fingers touch, go ten steps, and leave.
  send(Qt::SwipeNativeGesture, 90);
  EXPECT_EQ(input()[0] - before, 4u + 12);
}

TEST_F(VirtualMachineViewTest, PassesInputOn) {
  start();
  VirtualMachineView view(*machine);
  view.resize(64, 64);
  view.show();
  const auto send = [&](auto event) { QApplication::sendEvent(&view, &event); };
  send(QFocusEvent(QEvent::FocusIn));
  send(QKeyEvent(QEvent::KeyPress, Qt::Key_Tab, Qt::NoModifier));
  send(QKeyEvent(QEvent::KeyPress, Qt::Key_Tab, Qt::NoModifier, QString(), true));  // Repeats itself.
  send(QKeyEvent(QEvent::KeyRelease, Qt::Key_Tab, Qt::NoModifier));
  EXPECT_EQ(input(), (std::array<uint64_t, 3>{2, 1, 1}));
  send(QKeyEvent(QEvent::KeyPress, Qt::Key_A, Qt::NoModifier));
  send(QFocusEvent(QEvent::FocusOut));
  EXPECT_EQ(input(), (std::array<uint64_t, 3>{4, 2, 2}));
  // A modifier whose release went to the window manager.
  send(QKeyEvent(QEvent::KeyPress, Qt::Key_Alt, Qt::NoModifier));
  send(QKeyEvent(QEvent::KeyPress, Qt::Key_A, Qt::AltModifier));
  send(QKeyEvent(QEvent::KeyRelease, Qt::Key_A, Qt::AltModifier));
  EXPECT_EQ(input(), (std::array<uint64_t, 3>{7, 4, 3}));
  send(QKeyEvent(QEvent::KeyPress, Qt::Key_A, Qt::NoModifier));
  send(QKeyEvent(QEvent::KeyRelease, Qt::Key_A, Qt::NoModifier));
  EXPECT_EQ(input(), (std::array<uint64_t, 3>{10, 5, 5}));
  const QPointF middle(32, 32);
  send(QMouseEvent(QEvent::MouseButtonPress, middle, middle, Qt::LeftButton, Qt::LeftButton, Qt::NoModifier));
  send(QMouseEvent(QEvent::MouseButtonRelease, middle, middle, Qt::LeftButton, Qt::NoButton, Qt::NoModifier));
  send(QWheelEvent(middle, middle, {}, {0, 120}, Qt::NoButton, Qt::NoModifier, Qt::NoScrollPhase, false));
  const auto after = input();
  EXPECT_EQ(after[1], 6u);
  EXPECT_GE(after[2], 6u);
  // What an application would take for a shortcut of its own.
  QKeyEvent shortcut(QEvent::ShortcutOverride, Qt::Key_Q, Qt::ControlModifier);
  shortcut.ignore();
  QApplication::sendEvent(&view, &shortcut);
  EXPECT_TRUE(shortcut.isAccepted());
}

TEST_F(VirtualMachineViewTest, MachineGoesOnWithoutIt) {
  auto view = std::make_unique<VirtualMachineView>(*machine);
  view->show();
  start();
  view->close();
  view.reset();
  EXPECT_EQ(machine->state(), VirtualMachineState::running);
}

TEST_F(VirtualMachineViewTest, WindowsOpenInAProgramOfTheirOwn) {
  start();
  std::atomic<int> wishes = 0;
  auto window = WindowView::create(
      *machine, {.program = ALCOVE_WINDOW_PROGRAM, .on_wish = [&](WindowWish) { ++wishes; }});
  ASSERT_TRUE(window) << window.error().message();
  EXPECT_TRUE((*window)->is_open());
  // Another frame, since the window asks the guest for its size.
  EXPECT_TRUE(wait_for([&] { return display().frame().value().pixels[0] != 0x123456; }));
  window->reset();
  EXPECT_EQ(wishes, 0);
  EXPECT_EQ(machine->state(), VirtualMachineState::running);
}

TEST_F(VirtualMachineViewTest, SaysWhyThereIsNoWindow) {
  const auto none = WindowView::create(*machine, {.program = folder / "nothing"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_supported);
  const auto ended = WindowView::create(*machine, {.program = "/bin/false"});
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::not_supported);
  EXPECT_FALSE(WindowView::create(*machine, {.display = 3, .program = ALCOVE_WINDOW_PROGRAM}));
}

}  // namespace
}  // namespace alcove
