#include "storage/qcow2/compression.h"

#include <zlib.h>
#include <zstd.h>

#include <memory>

#include "spec/qcow2.h"

namespace alcove::storage::qcow2 {

using namespace spec::qcow2;

namespace {

constexpr int kAnyWindow = -15;       // Deflate without zlib's header.
constexpr int kCompressWindow = -12;  // What all readers have room for.

z_stream make_stream(std::span<const std::byte> in, std::span<std::byte> out) {
  z_stream stream{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  return stream;
}

bool inflate_all(std::span<const std::byte> data, std::span<std::byte> out) {
  z_stream stream = make_stream(data, out);
  if (inflateInit2(&stream, kAnyWindow) != Z_OK) return false;
  const int result = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  return stream.avail_out == 0 && (result == Z_STREAM_END || result == Z_BUF_ERROR);
}

bool decompress_zstd(std::span<const std::byte> data, std::span<std::byte> out) {
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context) return false;
  ZSTD_inBuffer input{data.data(), data.size(), 0};
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  while (output.pos < output.size) {
    const size_t before_in = input.pos, before_out = output.pos;
    const size_t result = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(result) || (input.pos == before_in && output.pos == before_out)) return false;
  }
  return true;
}

}  // namespace

bool decompress(uint8_t compression, std::span<const std::byte> data, std::span<std::byte> out) {
  return compression == kZstd ? decompress_zstd(data, out) : inflate_all(data, out);
}

std::optional<std::vector<std::byte>> compress(uint8_t compression, std::span<const std::byte> cluster) {
  std::vector<std::byte> out(cluster.size() - 1);
  if (compression == kZstd) {
    const size_t size = ZSTD_compress(out.data(), out.size(), cluster.data(), cluster.size(), 3);
    if (ZSTD_isError(size)) return std::nullopt;
    out.resize(size);
    return out;
  }
  z_stream stream = make_stream(cluster, out);
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kCompressWindow, 9, Z_DEFAULT_STRATEGY) !=
      Z_OK)
    return std::nullopt;
  const int result = deflate(&stream, Z_FINISH);
  const size_t size = out.size() - stream.avail_out;
  deflateEnd(&stream);
  if (result != Z_STREAM_END) return std::nullopt;
  out.resize(size);
  return out;
}

}  // namespace alcove::storage::qcow2
