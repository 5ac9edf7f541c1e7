#include "base/hub_link.h"

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "base/temp_folder.h"

namespace moe {
namespace {

struct HubLinkCase {
  const char* name;
  const char *path, *content;
  bool is_link;
};

const HubLinkCase kHubLinkCases[] = {
    {"InASnapshot", "m/snapshots/1/f", "../../blobs/aa", true},
    {"InAFolderOfIt", "m/snapshots/1/sub/f", "../../../blobs/aa", true},
    {"ToNothing", "m/snapshots/1/f", "../../blobs/gone", true},
    {"WithMoreText", "m/snapshots/1/f", "../../blobs/aa/x", false},
    {"ToAnotherFolder", "m/snapshots/1/f", "../../other/aa", false},
    {"OutOfTheModel", "m/snapshots/1/f", "../../../blobs/aa", false},
    {"OtherText", "m/snapshots/1/f", "text", false},
    {"Empty", "m/snapshots/1/f", "", false},
    {"OutsideOfSnapshots", "m/other/1/f", "../../blobs/aa", false},
};

class HubLink : public testing::TestWithParam<HubLinkCase> {};

TEST_P(HubLink, IsFollowedOnlyToItsBlob) {
  const TempFolder folder;
  folder.Write("m/blobs/aa", "the blob");
  const auto path = folder.Write(GetParam().path, GetParam().content);
  const auto real = FollowHubLink(path);
  EXPECT_EQ(real != path, GetParam().is_link);
  if (!GetParam().is_link) return;
  EXPECT_EQ(real.parent_path(), folder.path() / "m/blobs");
}

INSTANTIATE_TEST_SUITE_P(All, HubLink, testing::ValuesIn(kHubLinkCases),
                         [](const auto& test) { return test.param.name; });

TEST(HubLink, IsAFileAndMappedAsItsBlob) {
  const TempFolder folder;
  folder.Write("m/blobs/aa", "the blob");
  const auto path = folder.Write("m/snapshots/1/f", "../../blobs/aa");
  const auto gone = folder.Write("m/snapshots/1/g", "../../blobs/gone");
  EXPECT_TRUE(IsFile(path));
  EXPECT_FALSE(IsFile(gone));
  EXPECT_FALSE(IsFile(folder.path()));
  EXPECT_EQ((*MappedFile::Open(path))->bytes().size(), 8u);
  EXPECT_EQ(MappedFile::Open(gone).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace moe
