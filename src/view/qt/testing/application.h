// What tests of widgets need.
#pragma once

#include <gtest/gtest.h>
#include <QApplication>
#include <QElapsedTimer>
#include <QEventLoop>

#include <memory>

namespace alcove::view::qt::testing {

// Lets Qt's loop run until the condition is met; false after ten seconds.
template <class Condition>
bool wait_for(Condition condition) {
  constexpr int kPatience = 10000, kStep = 10;
  QElapsedTimer timer;
  timer.start();
  while (!condition()) {
    if (timer.elapsed() > kPatience) return false;
    QCoreApplication::processEvents(QEventLoop::AllEvents, kStep);
  }
  return true;
}

// Windows without a screen.
class Application : public ::testing::Environment {
 public:
  void SetUp() override {
    qputenv("QT_QPA_PLATFORM", "offscreen");
    application_ = std::make_unique<QApplication>(count_, arguments_);
  }
  void TearDown() override { application_.reset(); }

 private:
  int count_ = 1;
  char name_[5] = "test";
  char* arguments_[2] = {name_, nullptr};
  std::unique_ptr<QApplication> application_;
};

}  // namespace alcove::view::qt::testing
