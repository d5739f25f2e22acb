#include "view/web/request.h"

#include <gtest/gtest.h>

#include "view/web/page.h"

namespace alcove::view::web {
namespace {

constexpr std::string_view kToken = "0123456789abcdef";

Decision ask(std::string_view target, std::string_view origin = "", bool is_upgrade = false,
             std::string_view host = "127.0.0.1:8000", std::string_view method = "GET") {
  return decide(
      {.method = method, .target = target, .host = host, .origin = origin, .is_upgrade = is_upgrade}, kToken,
      8000);
}

TEST(WebRequest, WithTheToken) {
  EXPECT_EQ(ask("/0123456789abcdef/").answer, Answer::page);
  EXPECT_EQ(ask("/0123456789abcdef/?x=y").answer, Answer::page);
  EXPECT_EQ(ask("/0123456789abcdef/", "", false, "localhost:8000").answer, Answer::page);
  EXPECT_EQ(ask("/0123456789abcdef/view.js").answer, Answer::script);
  EXPECT_EQ(ask("/0123456789abcdef/novnc/core/rfb.js").answer, Answer::file);
  EXPECT_EQ(ask("/0123456789abcdef/novnc/core/rfb.js").file, "core/rfb.js");
  EXPECT_EQ(ask("/0123456789abcdef/socket", "http://127.0.0.1:8000", true).answer, Answer::socket);
  EXPECT_EQ(ask("/0123456789abcdef/clipboard", "http://127.0.0.1:8000", true).answer, Answer::clipboard);
  EXPECT_EQ(ask("/0123456789abcdef/other").answer, Answer::not_found);
}

TEST(WebRequest, TellsThePixelRatio) {
  const auto ratio = [](const std::string& query) {
    const Decision decision = ask("/0123456789abcdef/socket" + query, "http://127.0.0.1:8000", true);
    EXPECT_EQ(decision.answer, Answer::socket);
    return decision.pixel_ratio;
  };
  EXPECT_EQ(ratio("?ratio=1.25"), 1.25);
  EXPECT_EQ(ratio("?ratio=3"), 3);
  for (const char* query : {"", "?", "?ratio=", "?ratio=0", "?ratio=-2", "?ratio=nan", "?ratio=inf",
                            "?ratio=1e9", "?ratio=2x", "?rat=2"})
    EXPECT_EQ(ratio(query), 1) << query;
}

TEST(WebRequest, WithoutTheToken) {
  for (const std::string_view target :
       {"/", "", "/0123456789abcdef", "/0123456789abcdee/", "/0123456789abcde/", "//0123456789abcdef/",
        "/novnc/core/rfb.js", "0123456789abcdef/", "/0123456789abcdefg/", "/socket"})
    EXPECT_EQ(ask(target).answer, Answer::forbidden) << target;
  EXPECT_EQ(ask("/wrong/socket", "http://127.0.0.1:8000", true).answer, Answer::forbidden);
}

TEST(WebRequest, OfOtherOrigins) {
  EXPECT_EQ(ask("/0123456789abcdef/socket", "http://evil.example", true).answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/socket", "http://127.0.0.1:8001", true).answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/socket", "https://127.0.0.1:8000", true).answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/socket", "null", true).answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/socket", "", true).answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/clipboard", "", true).answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/clipboard", "http://evil.example", true).answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/clipboard", "http://127.0.0.1:8000", false).answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/socket", "http://127.0.0.1:8000", false).answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/", "http://evil.example").answer, Answer::forbidden);
  // A name that was made to lead here.
  EXPECT_EQ(ask("/0123456789abcdef/", "", false, "evil.example:8000").answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/", "", false, "").answer, Answer::forbidden);
  EXPECT_EQ(ask("/0123456789abcdef/socket", "http://evil.example:8000", true, "evil.example:8000").answer,
            Answer::forbidden);
}

TEST(WebRequest, LeadsNowhereElse) {
  for (const std::string_view target : {"novnc/../../etc/passwd.js", "novnc//etc/x.js", "novnc/",
                                        "novnc/core/rfb.js.map", "novnc/a%2e%2e/b.js", "novnc/.."})
    EXPECT_EQ(ask("/0123456789abcdef/" + std::string(target)).answer, Answer::not_found) << target;
  EXPECT_EQ(ask("/0123456789abcdef/", "", false, "127.0.0.1:8000", "POST").answer, Answer::not_allowed);
  EXPECT_EQ(ask("/0123456789abcdef/", "", true).answer, Answer::forbidden);
}

TEST(WebPage, NamesAreTextOnly) {
  EXPECT_FALSE(page("<script>alert(1)</script>").contains("<script>alert"));
}

}  // namespace
}  // namespace alcove::view::web
