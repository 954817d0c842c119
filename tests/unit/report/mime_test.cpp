#include "report/mime.h"

#include <vector>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::report;

namespace {

std::vector<std::string> parts(std::string_view mail) {
  std::vector<std::string> seen;
  each_part(mail, [&](const MimePart& part) {
    seen.push_back(part.type + '|' + part.decoded().value_or("?"));
    return false;
  });
  return seen;
}

using Parts = std::vector<std::string>;

}  // namespace

TEST_CASE("the parts of a mail in their order, at any depth", "[mime]") {
  CHECK(parts("Subject: x\r\nContent-Type: multipart/report;\r\n report-type=tlsrpt; boundary=\"a b\"\r\n\r\nnobody reads this\r\n"
              "--a b\r\n\r\nhello\r\n"
              "--a b\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: Application/X; y=z\r\n"
              "Content-Transfer-Encoding: BASE64\r\n\r\naGV\r\nsbG8=\r\n--a--\r\n"
              "--a b\r\nContent-Type: text/x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3D=\r\nb=zz\r\n--a b--\r\nbehind") ==
        Parts{"text/plain|hello\r\n", "application/x|hello", "text/x|a=b=zz\r\n"});
  CHECK(parts("Subject: x\n\nno MIME\n") == Parts{"text/plain|no MIME\n"});
  CHECK(parts("Content-Type: a/b\nContent-Transfer-Encoding: base64\n\n!!!") == Parts{"a/b|?"});
}

TEST_CASE("a mail that is cut off has the parts that it has", "[mime]") {
  CHECK(parts("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: a/b\n\nhalf") == Parts{"a/b|half"});
  CHECK(parts("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: a/b") == Parts{"a/b|"});
  CHECK(parts("Content-Type: multipart/mixed; boundary=x\n") == Parts{});
  CHECK(parts("") == Parts{"text/plain|"});
}

TEST_CASE("neither depth nor number of parts is without end", "[mime]") {
  std::string nested;
  for (unsigned depth = 0; depth <= mime_nesting_max; ++depth) {
    nested += "Content-Type: multipart/mixed; boundary=b" + std::to_string(depth) + "\n\n--b" + std::to_string(depth) + "\n";
  }
  CHECK(parts(nested + "Content-Type: a/b\n\nx").empty());
  std::string many = "Content-Type: multipart/mixed; boundary=x\n\n";
  for (unsigned i = 0; i < 2 * mime_parts_max; ++i) many += "--x\n\ny\n";
  CHECK(parts(many).size() == mime_parts_max);
}

TEST_CASE("what begins like a mail", "[mime]") {
  CHECK(looks_like_mail("Received: from x\r\n"));
  CHECK(looks_like_mail("From a@b Mon\n"));
  CHECK_FALSE(looks_like_mail("{\"organization-name\": 1}"));
  CHECK_FALSE(looks_like_mail("no colon"));
  CHECK_FALSE(looks_like_mail(""));
}
