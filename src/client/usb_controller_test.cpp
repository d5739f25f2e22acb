// USB devices that come and go, with the fake guest: it has one controller and refuses discs.
#include "client/test_machine.h"

namespace alcove::client {
namespace {

class USBControllerTest : public MachineTest {
 protected:
  USBMassStorageDeviceConfiguration image(const std::string& name) const {
    std::ofstream(folder / name) << "";
    std::filesystem::resize_file(folder / name, 1 << 20);
    return {.attachment = DiskImageStorageDeviceAttachment{.path = folder / name}};
  }
  std::shared_ptr<USBDevice> stick(const std::string& name) const {
    return std::make_shared<USBMassStorageDevice>(image(name));
  }
  VirtualMachineConfiguration with_controllers(size_t count) const {
    VirtualMachineConfiguration result = configuration();
    result.usb_controllers.resize(count);
    return result;
  }
  static Result<> attach(USBController& controller, const std::shared_ptr<USBDevice>& device) {
    Outcome outcome;
    controller.attach(device, outcome.completion());
    return outcome.get();
  }
  static Result<> detach(USBController& controller, const std::shared_ptr<USBDevice>& device) {
    Outcome outcome;
    controller.detach(device, outcome.completion());
    return outcome.get();
  }
};

TEST_F(USBControllerTest, HasTheCodesOfTheInterface) {
  EXPECT_EQ(static_cast<int>(kUSBControllerNotFound), 30001);
  EXPECT_EQ(static_cast<int>(kUSBDeviceAlreadyAttached), 30002);
  EXPECT_EQ(static_cast<int>(kUSBDeviceInitializationFailure), 30003);
  EXPECT_EQ(static_cast<int>(kUSBDeviceNotFound), 30004);
}

TEST_F(USBControllerTest, AttachesAndDetaches) {
  auto machine = running(with_controllers(1));
  USBController& controller = *machine->usb_controllers()[0];
  const auto device = stick("stick");
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(attach(controller, device));
    EXPECT_EQ(device->usb_controller(), &controller);
    EXPECT_EQ(controller.usb_devices(), std::vector{device});
    ASSERT_TRUE(detach(controller, device));
    EXPECT_EQ(device->usb_controller(), nullptr);
    EXPECT_TRUE(controller.usb_devices().empty());
  }
}

TEST_F(USBControllerTest, KnowsWhatIsAttachedAlready) {
  auto machine = running(with_controllers(2));
  USBController& controller = *machine->usb_controllers()[0];
  const auto device = stick("stick");
  ASSERT_TRUE(attach(controller, device));
  EXPECT_EQ(code_of(attach(controller, device)), kUSBDeviceAlreadyAttached);
  EXPECT_EQ(code_of(attach(*machine->usb_controllers()[1], device)), kUSBDeviceAlreadyAttached);
  USBMassStorageDeviceConfiguration twin = image("twin");
  twin.uuid = device->uuid();
  EXPECT_EQ(code_of(attach(controller, std::make_shared<USBMassStorageDevice>(twin))),
            kUSBDeviceAlreadyAttached);
  auto other = running(with_controllers(1));
  EXPECT_EQ(code_of(attach(*other->usb_controllers()[0], device)), kUSBDeviceAlreadyAttached);
  EXPECT_EQ(controller.usb_devices(), std::vector{device});
}

TEST_F(USBControllerTest, TellsWhyADeviceCannotBeMade) {
  auto machine = running(with_controllers(1));
  USBController& controller = *machine->usb_controllers()[0];
  EXPECT_EQ(code_of(attach(controller, nullptr)), kUSBDeviceInitializationFailure);

  const auto gone = stick("gone");
  std::filesystem::remove(folder / "gone");
  EXPECT_EQ(code_of(attach(controller, gone)), kUSBDeviceInitializationFailure);
  EXPECT_EQ(gone->usb_controller(), nullptr);

  // What the machine's process refuses.
  USBMassStorageDeviceConfiguration old = image("old");
  old.attached_scsi = false;
  const auto refused = std::make_shared<USBMassStorageDevice>(old);
  EXPECT_EQ(code_of(attach(controller, refused)), kUSBDeviceInitializationFailure);
  EXPECT_EQ(refused->usb_controller(), nullptr);
}

TEST_F(USBControllerTest, KnowsWhatIsNotThere) {
  auto machine = running(with_controllers(2));
  USBController& first = *machine->usb_controllers()[0];
  USBController& second = *machine->usb_controllers()[1];
  const auto device = stick("stick");
  EXPECT_EQ(code_of(detach(first, device)), kUSBDeviceNotFound);
  EXPECT_EQ(code_of(detach(first, nullptr)), kUSBDeviceNotFound);
  EXPECT_EQ(code_of(attach(second, device)), kUSBControllerNotFound);
  EXPECT_EQ(device->usb_controller(), nullptr);
  ASSERT_TRUE(attach(first, device));
  EXPECT_EQ(code_of(detach(second, device)), kUSBDeviceNotFound);
  EXPECT_EQ(device->usb_controller(), &first);
}

TEST_F(USBControllerTest, DiscsOfADriveChange) {
  auto machine = running(with_controllers(1));
  USBController& controller = *machine->usb_controllers()[0];
  USBMassStorageDeviceConfiguration disc = image("disc");
  disc.optical_disc = true;
  std::get<DiskImageStorageDeviceAttachment>(disc.attachment).read_only = true;
  const auto drive = std::make_shared<USBMassStorageDevice>(disc);
  const auto change = [&](const std::shared_ptr<USBMassStorageDevice>& device,
                          std::optional<StorageDeviceAttachment> medium) {
    Outcome outcome;
    controller.change_medium(device, std::move(medium), outcome.completion());
    return outcome.get();
  };
  EXPECT_EQ(code_of(change(drive, std::nullopt)), kUSBDeviceNotFound);
  ASSERT_TRUE(attach(controller, drive));
  EXPECT_EQ(drive->medium(), disc.attachment);
  auto other = image("other").attachment;
  std::get<DiskImageStorageDeviceAttachment>(other).read_only = true;
  ASSERT_TRUE(change(drive, other));
  EXPECT_EQ(drive->medium(), other);
  auto gone = other;
  std::get<DiskImageStorageDeviceAttachment>(gone).path = folder / "gone";
  EXPECT_EQ(code_of(change(drive, gone)), kUSBDeviceInitializationFailure);
  EXPECT_EQ(drive->medium(), other);
  ASSERT_TRUE(change(drive, std::nullopt));
  EXPECT_EQ(drive->medium(), std::nullopt);
  const auto device = stick("stick");
  ASSERT_TRUE(attach(controller, device));
  EXPECT_EQ(code_of(change(std::dynamic_pointer_cast<USBMassStorageDevice>(device), other)),
            kUSBDeviceInitializationFailure);
  ASSERT_TRUE(stop(*machine));
  EXPECT_EQ(drive->medium(), disc.attachment);
}

TEST_F(USBControllerTest, NeedsAMachineThatRuns) {
  auto machine = create(with_controllers(1));
  USBController& controller = *machine->usb_controllers()[0];
  const auto device = stick("stick");
  EXPECT_EQ(code_of(attach(controller, device)), ErrorCode::invalid_virtual_machine_state);
  EXPECT_EQ(device->usb_controller(), nullptr);
  ASSERT_TRUE(start(*machine));
  ASSERT_TRUE(pause(*machine));
  EXPECT_TRUE(attach(controller, device));
}

TEST_F(USBControllerTest, IsAsConfiguredAfterTheMachinesEnd) {
  VirtualMachineConfiguration configuration = with_controllers(1);
  const auto configured = image("configured");
  std::get<XHCIControllerConfiguration>(configuration.usb_controllers[0]).usb_devices = {configured};
  auto machine = running(configuration);
  USBController& controller = *machine->usb_controllers()[0];
  const auto device = stick("stick");
  ASSERT_TRUE(attach(controller, device));
  EXPECT_EQ(controller.usb_devices().size(), 2u);
  ASSERT_TRUE(stop(*machine));
  EXPECT_EQ(device->usb_controller(), nullptr);
  ASSERT_EQ(controller.usb_devices().size(), 1u);
  EXPECT_EQ(controller.usb_devices()[0]->uuid(), configured.uuid);
  machine = nullptr;

  // A device may outlive its machine.
  auto next = running(with_controllers(1));
  ASSERT_TRUE(attach(*next->usb_controllers()[0], device));
  next = nullptr;
  EXPECT_EQ(device->usb_controller(), nullptr);
}

}  // namespace
}  // namespace alcove::client
