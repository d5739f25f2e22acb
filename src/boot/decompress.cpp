#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "boot/file_bytes.h"

namespace alcove::boot {

namespace {

constexpr size_t kChunk = 1 << 20;

std::unexpected<Error> broken(std::string_view field, std::string_view format, std::string_view why) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, std::string(field),
              fmt::format("the {} stream is damaged: {}", format, why), "get the file anew");
}

std::unexpected<Error> too_large(std::string_view field) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, std::string(field),
              fmt::format("holds more than {} GiB when decompressed", kLargestFile >> 30));
}

Result<std::vector<std::byte>> gunzip(Bytes bytes, std::string_view field) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
    return fail(ErrorCode::internal, std::string(field), "zlib");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> cleanup(&stream, inflateEnd);
  std::vector<std::byte> out;
  size_t taken = 0, given = 0;
  for (;;) {
    // zlib counts in 32 bits, so both sides go in pieces.
    const size_t input = std::min(bytes.size() - taken, kChunk);
    if (given == out.size()) {
      if (given >= kLargestFile) return too_large(field);
      out.resize(std::max(given + kChunk, given * 2));
    }
    const size_t space = std::min<size_t>(out.size() - given, 1u << 30);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data() + taken));
    stream.avail_in = static_cast<uInt>(input);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + given);
    stream.avail_out = static_cast<uInt>(space);
    const int status = inflate(&stream, Z_NO_FLUSH);
    taken += input - stream.avail_in;
    given += space - stream.avail_out;
    if (status == Z_STREAM_END) break;
    if (status == Z_BUF_ERROR || (status == Z_OK && taken == bytes.size() && stream.avail_out > 0)) {
      return broken(field, "gzip", "it ends too early");
    }
    if (status != Z_OK) return broken(field, "gzip", stream.msg ? stream.msg : "unknown error");
  }
  out.resize(given);
  return out;
}

Result<std::vector<std::byte>> unzstd(Bytes bytes, std::string_view field) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context) return fail(ErrorCode::internal, std::string(field), "zstd: out of memory");
  std::vector<std::byte> out;
  ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
  size_t given = 0;
  for (;;) {
    if (given == out.size()) {
      if (given >= kLargestFile) return too_large(field);
      out.resize(std::max(given + kChunk, given * 2));
    }
    ZSTD_outBuffer output{out.data(), out.size(), given};
    const size_t left = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(left)) return broken(field, "zstd", ZSTD_getErrorName(left));
    const bool stuck = output.pos == given && input.pos == input.size;
    given = output.pos;
    if (left == 0) break;  // What follows the first frame (a kernel's trailing length, say) does not matter.
    if (stuck) return broken(field, "zstd", "it ends too early");
  }
  out.resize(given);
  return out;
}

}  // namespace

Result<std::optional<std::vector<std::byte>>> decompress(Bytes bytes, std::string_view field) {
  if (has_text(bytes, 0, "\x1f\x8b")) return gunzip(bytes, field);
  if (has_text(bytes, 0, "\x28\xb5\x2f\xfd")) return unzstd(bytes, field);
  return std::nullopt;
}

}  // namespace alcove::boot
