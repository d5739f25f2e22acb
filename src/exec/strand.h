// A serial executor that borrows threads: who posts a task runs it at once, and with it what others post
// meanwhile, unless somebody runs tasks already. So what takes microseconds costs no change of threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "exec/event_loop.h"

namespace alcove::exec {

// A task may run before post() returns: whoever posts from outside holds no lock that tasks take.
class Strand final : public Executor {
 public:
  // What a borrowed thread does in a row; the rest is left to the strand's own.
  static constexpr unsigned kBorrowedTasks = 16;

  explicit Strand(const std::string& thread_name);
  ~Strand() override;  // Runs what is posted by then, and nothing that those tasks post.

  void post(Task task) override;
  // As post(), on the strand's own thread: for what may wait, or must not run on just any thread.
  void post_to_thread(Task task);
  bool on_this_thread() const override { return std::this_thread::get_id() == server_; }
  // Runs what is posted by now, from within a task: for tests that are tasks of the strand themselves.
  void run_posted();

 private:
  struct Posted {
    Task task;
    bool to_thread;
  };
  void add(Posted posted);
  void serve(unsigned most);

  std::mutex mutex_;  // Guards the next four.
  std::deque<Posted> posted_;
  bool is_served_ = false;  // Somebody runs tasks, or the thread has been told to.
  bool is_ending_ = false;
  std::condition_variable idle_;
  std::atomic<std::thread::id> server_;
  LoopThread thread_;  // Last: it ends before what it uses.
};

}  // namespace alcove::exec
