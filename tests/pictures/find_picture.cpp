// Whether a screenshot shows what a reference picture does, there or anywhere in it. A reference is a part of
// a screenshot that was looked at, cut out with --crop.
#include <CLI/CLI.hpp>
#include <iostream>

#include "picture.h"

int main(int argument_count, char** arguments) {
  using namespace alcove::test;
  CLI::App app{"Tells where a screenshot shows a reference picture; 1 if it does not."};
  std::string screen_file;
  std::string reference_file;
  Tolerance tolerance;
  std::vector<size_t> part;
  app.add_option("SCREEN", screen_file, "PNG file")->required();
  app.add_option("REFERENCE", reference_file, "PNG file, not larger")->required();
  app.add_option("--channel", tolerance.channel, "What a pixel's red, green and blue may differ by")
      ->capture_default_str();
  app.add_option("--per-mille", tolerance.pixels_per_mille, "How many pixels may be others")
      ->capture_default_str();
  app.add_option("--crop", part, "Write this part of the screen to REFERENCE instead")
      ->type_name("X Y WIDTH HEIGHT")
      ->expected(4);
  CLI11_PARSE(app, argument_count, arguments);

  const auto screen = read_png(screen_file);
  if (!screen) return std::cerr << screen_file << ": no PNG file\n", 2;
  if (!part.empty())
    return write_png(crop(*screen, {part[0], part[1]}, part[2], part[3]), reference_file) ? 0 : 2;
  const auto reference = read_png(reference_file);
  if (!reference) return std::cerr << reference_file << ": no PNG file\n", 2;
  const auto place = find(*screen, *reference, tolerance);
  if (!place) return 1;
  std::cout << place->x << ' ' << place->y << '\n';
}
