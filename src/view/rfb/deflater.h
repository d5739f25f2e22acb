// One zlib stream of a connection: lives as long as that, since what it sent before is its dictionary.
#pragma once

#include <zlib.h>

#include <memory>
#include <string>
#include <string_view>

namespace alcove::view::rfb {

class Deflater {
 public:
  // Appends `data`, compressed, up to a byte boundary.
  void append(std::string& out, std::string_view data);

 private:
  struct End {
    void operator()(z_stream* stream) const {
      deflateEnd(stream);
      delete stream;
    }
  };
  std::unique_ptr<z_stream, End> stream_;  // From the first use on: it takes 256 KiB.
};

}  // namespace alcove::view::rfb
