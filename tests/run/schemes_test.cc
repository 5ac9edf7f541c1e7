#include "run/schemes.h"

#include <gmock/gmock.h>

#include <set>

#include "base/test_json.h"
#include "measure/quant_modes.h"
#include "run/config_template.h"

namespace moe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> Names(const std::vector<QuantScheme>& schemes) {
  std::vector<std::string> names;
  for (const QuantScheme& scheme : schemes) names.push_back(scheme.name);
  return names;
}

std::vector<std::string> PairTexts(const SchemeChoice& choice) {
  std::vector<std::string> texts;
  for (const DeltaPair& pair : choice.delta_pairs) {
    texts.push_back(pair.name + ": " + pair.a + " - " + pair.b);
  }
  return texts;
}

/// A config with these sections, whatever else is in it.
Config ConfigWith(const std::string& schemes, const std::string& pairs = "[]") {
  Json json = AsJson(ConfigTemplateText("/m"));
  json["quant_schemes"] = AsJson(schemes);
  json["delta_pairs"] = AsJson(pairs);
  return *ParseConfig(json.Text(), "c.json");
}

struct Spelling {
  const char* text;
  const char* name;
};

constexpr Spelling kSpellings[] = {
    {"q4", "affine_q4_g64"},
    {"Q4", "affine_q4_g64"},
    {"q4g64", "affine_q4_g64"},
    {"q4_g64", "affine_q4_g64"},
    {" affine_q4 ", "affine_q4_g64"},
    {"affine_q4_g64", "affine_q4_g64"},
    {"q4g32", "affine_q4_g32"},
    {"affine_q8_g128", "affine_q8_g128"},
    {"mxfp4", "mxfp4_g32"},
    {"MXFP4_G32", "mxfp4_g32"},
    {"mxfp8g32", "mxfp8_g32"},
    {"nvfp4", "nvfp4_g16"},
    {"q4+search", "affine_q4_g64+search"},
    {"MXFP4_G32+Search", "mxfp4_g32+search"},
};

TEST(Schemes, HaveOneNameHoweverTheyAreSpelled) {
  for (const Spelling& spelling : kSpellings) {
    const auto scheme = ParseScheme(spelling.text);
    ASSERT_TRUE(scheme.has_value()) << spelling.text;
    EXPECT_EQ(scheme->name, spelling.name) << spelling.text;
  }
  const QuantScheme q4 = *ParseScheme("q4");
  EXPECT_EQ((std::tuple{q4.mode, q4.bits, q4.group_size}), (std::tuple{"affine", 4, 64}));
}

TEST(Schemes, ThatThereAreNotHaveNoName) {
  for (const char* text : {"", "q7", "q4g16", "mxfp4g64", "nvfp4_g32", "affine_mxfp4x", "int4",
                           "q7+search", "bf16+search", "+search", "q4+search+search", "q4+find"}) {
    EXPECT_FALSE(ParseScheme(text).has_value()) << text;
  }
}

TEST(Schemes, ShortNamesAreReadBackAsTheSameScheme) {
  const auto all = ParseSchemes("all");
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(all->schemes.size(), 24u);  // affine: 7 bits in 3 groups; mxfp4, mxfp8, nvfp4
  for (const QuantScheme& scheme : all->schemes) {
    EXPECT_TRUE(SameSchemes({*ParseScheme(ShortSchemeName(scheme))}, {scheme})) << scheme.name;
    EXPECT_TRUE(SameSchemes({*ParseScheme(scheme.name)}, {scheme})) << scheme.name;
    EXPECT_FALSE(scheme.search());
    const QuantScheme searched = *ParseScheme(scheme.name + "+search");
    EXPECT_TRUE(searched.search());
    EXPECT_EQ(ShortSchemeName(searched), ShortSchemeName(scheme) + "+search");
  }
}

TEST(SchemeList, OfMlxIsWhatItsUsersChooseFrom) {
  const auto mlx = ParseSchemes("mlx");
  ASSERT_TRUE(mlx.has_value());
  EXPECT_THAT(Names(mlx->schemes),
              ElementsAre("affine_q3_g64", "affine_q4_g64", "affine_q5_g64", "affine_q6_g64",
                          "affine_q8_g64", "mxfp4_g32", "mxfp8_g32", "nvfp4_g16", "affine_q4_g32"));
  EXPECT_THAT(PairTexts(*mlx), ElementsAre("q4_minus_q3: affine_q4_g64 - affine_q3_g64",
                                           "q5_minus_q4: affine_q5_g64 - affine_q4_g64",
                                           "q6_minus_q5: affine_q6_g64 - affine_q5_g64",
                                           "q8_minus_q6: affine_q8_g64 - affine_q6_g64",
                                           "mxfp4_minus_q4: mxfp4_g32 - affine_q4_g64",
                                           "mxfp8_minus_q8: mxfp8_g32 - affine_q8_g64",
                                           "nvfp4_minus_q4: nvfp4_g16 - affine_q4_g64",
                                           "q4g32_minus_q4: affine_q4_g32 - affine_q4_g64"));
}

TEST(SchemeList, OfTheTemplateIsTheTemplates) {
  const Config config = *ParseConfig(ConfigTemplateText("/m"), "template");
  const auto choice = ParseSchemes("template");
  ASSERT_TRUE(choice.has_value());
  EXPECT_TRUE(SameSchemes(choice->schemes, config.quant_schemes));
  Json changed = config.raw;
  PutSchemes(*choice, changed);
  EXPECT_EQ(changed.Text(), config.raw.Text());
}

TEST(SchemeList, TakesSetsAndSchemesOnceEachInOrder) {
  const auto choice = ParseSchemes("q8, template,q4g32 ,affine_q8");
  ASSERT_TRUE(choice.has_value());
  EXPECT_THAT(Names(choice->schemes),
              ElementsAre("affine_q8_g64", "affine_q4_g32", "mxfp4_g32", "affine_q8_g32"));
  EXPECT_THAT(PairTexts(*choice), ElementsAre("mxfp4_minus_q4g32: mxfp4_g32 - affine_q4_g32",
                                              "q8g32_minus_q4g32: affine_q8_g32 - affine_q4_g32",
                                              "q8g32_minus_q8: affine_q8_g32 - affine_q8_g64"));
}

TEST(SchemeList, ComparesWhatIsSearchedWithWhatIsNot) {
  const auto choice = ParseSchemes("q4+search,q3,q4,mxfp4+search,q3+search");
  ASSERT_TRUE(choice.has_value());
  EXPECT_THAT(PairTexts(*choice),
              ElementsAre("q4+search_minus_q4: affine_q4_g64+search - affine_q4_g64",
                          "q4_minus_q3: affine_q4_g64 - affine_q3_g64",
                          "q3+search_minus_q3: affine_q3_g64+search - affine_q3_g64"));
  EXPECT_THAT(Names(FittingSchemes(*choice, {32}).schemes),
              ElementsAre("affine_q4_g32+search", "affine_q3_g32", "affine_q4_g32",
                          "mxfp4_g32+search", "affine_q3_g32+search"));
}

TEST(OwnPairs, StayWhereTheirSchemesDo) {
  const std::string schemes =
      R"([{"name":"affine_q4_g64","mode":"affine","bits":4,"group_size":64},
          {"name":"affine_q8_g64","mode":"affine","bits":8,"group_size":64},
          {"name":"mine","mode":"mxfp4"}])";
  const Config config =
      ConfigWith(schemes,
                 R"([{"name":"q8_minus_q4","a":"affine_q8_g64","b":"affine_q4_g64"},
          {"name":"half","a":"affine_q4_g64","b":"affine_q8_g64"},
          {"name":"lost","a":"mine","b":"affine_q4_g64"},
          {"name":"mxfp4_minus_q4","a":"mine","b":"affine_q8_g64"},
          {"name":"finer","a":"affine_q6_g64","b":"affine_q4_g64"}])");
  SchemeChoice choice = *ParseSchemes("q4,q6,q8");
  EXPECT_THAT(KeepOwnPairs(config, choice), ElementsAre("lost", "mxfp4_minus_q4"));
  EXPECT_THAT(PairTexts(choice), ElementsAre("q8_minus_q6: affine_q8_g64 - affine_q6_g64",
                                             "half: affine_q4_g64 - affine_q8_g64",
                                             "finer: affine_q6_g64 - affine_q4_g64"))
      << "a derived pair follows the schemes, one of the same schemes gives way";
}

TEST(SchemeList, NamesTheUnknownWordAndTheClosest) {
  const std::pair<const char*, const char*> cases[] = {
      {"q4,mxpf4", "mxpf4'; did you mean 'mxfp4'"},
      {"q4,,q6", "no scheme ''"},
      {"tmplate", "did you mean 'template'"},
      {"bf16+search", "mxfp4, mxfp8, nvfp4, ..., each of them also as q4+search"},
      {"affine_q4_g46", "did you mean 'affine_q4_g"},
  };
  for (const auto& [list, part] : cases) {
    const auto choice = ParseSchemes(list);
    ASSERT_FALSE(choice.has_value()) << list;
    EXPECT_EQ(choice.error().code, ErrorCode::kBadArgument);
    EXPECT_THAT(choice.error().Text(), HasSubstr(part));
  }
}

TEST(FittingSchemes, GiveWayToSmallerGroupsOrAreLeftOut) {
  const SchemeChoice choice = *ParseSchemes("q3,q4,mxfp4,nvfp4,q4g32");
  const auto names = [&](const std::set<uint64_t>& columns) {
    return Names(FittingSchemes(choice, columns).schemes);
  };
  EXPECT_EQ(names({32, 128}), Names(choice.schemes)) << "one matrix that fits is enough";
  EXPECT_THAT(names({96, 32}),
              ElementsAre("affine_q3_g32", "affine_q4_g32", "mxfp4_g32", "nvfp4_g16"));
  EXPECT_THAT(names({48}), ElementsAre("nvfp4_g16"));
  EXPECT_EQ(names({}), Names(choice.schemes));
  EXPECT_EQ(names({5}), Names(choice.schemes));
  EXPECT_THAT(PairTexts(FittingSchemes(choice, {32})),
              testing::Contains("mxfp4_minus_q4g32: mxfp4_g32 - affine_q4_g32"));
}

TEST(SchemeEntry, WithoutBitsAndGroupHasThoseOfItsMode) {
  const std::tuple<const char*, int64_t, int64_t> cases[] = {
      {"affine", 4, 32},  // the contract's, which old configs rely on
      {"mxfp4", 4, 32},  {"mxfp8", 8, 32}, {"nvfp4", 4, 16}, {"symmetric", 4, 32},
  };
  for (const auto& [mode, bits, group] : cases) {
    const QuantScheme scheme = SchemeOf({{"name", "s"}, {"mode", mode}});
    EXPECT_EQ((std::pair{scheme.bits, scheme.group_size}), (std::pair{bits, group})) << mode;
  }
  const QuantScheme scheme =
      SchemeOf({{"name", "s"}, {"mode", "affine"}, {"bits", 3.0}, {"group_size", 128}});
  EXPECT_EQ((std::pair{scheme.bits, scheme.group_size}), (std::pair<int64_t, int64_t>{3, 128}));
}

TEST(CheckSchemes, RefusesWhatNoMlxTakesWithThePlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([{"name":"s","mode":"mxpf4"}])",
       "/quant_schemes/0/mode: must be one of affine, mxfp4, "
       "mxfp8, nvfp4, but is \"mxpf4\"; did you mean \"mxfp4\"?"},
      {R"([{"name":"a","mode":"mxfp4"},{"name":"s","mode":"affine","bits":7}])",
       "/quant_schemes/1/bits: must be one of 1, 2, 3, 4, 5, 6, 8 in mode affine, but is 7"},
      {R"([{"name":"s","mode":"affine","group_size":16}])",
       "/quant_schemes/0/group_size: must be one of 32, 64, 128 in mode affine, but is 16"},
      {R"([{"name":"s","mode":"nvfp4","group_size":32}])",
       "/quant_schemes/0/group_size: must be 16 in mode nvfp4, but is 32"},
      {R"([{"name":"s","mode":"mxfp8","bits":4}])",
       "/quant_schemes/0/bits: must be 8 in mode mxfp8"},
  };
  for (const auto& [schemes, part] : cases) {
    const auto checked = CheckSchemes(ConfigWith(schemes), "c.json");
    ASSERT_FALSE(checked.has_value()) << schemes;
    EXPECT_EQ(checked.error().code, ErrorCode::kBadArgument);
    EXPECT_THAT(checked.error().Text(), HasSubstr(part));
  }
}

TEST(CheckSchemes, PassesOverDisabledOnesAndAcceptsEveryKnownOne) {
  EXPECT_TRUE(CheckSchemes(ConfigWith(R"([{"name":"s","mode":"none","enabled":false}])"), "c"));
  Json json = AsJson(ConfigTemplateText("/m"));
  PutSchemes(*ParseSchemes("all"), json);
  const auto checked = CheckSchemes(*ParseConfig(json.Text(), "c"), "c");
  ASSERT_TRUE(checked.has_value());
  EXPECT_THAT(*checked, IsEmpty());
}

TEST(CheckSchemes, WarnsOfAPairWhoseSchemeIsNotThere) {
  const auto checked = CheckSchemes(
      ConfigWith(R"([{"name":"x","mode":"mxfp4"},{"name":"off","mode":"mxfp8","enabled":false}])",
                 R"([{"name":"p","a":"x","b":"x"},{"name":"q","a":"x","b":"off"}])"),
      "c");
  ASSERT_TRUE(checked.has_value());
  EXPECT_THAT(*checked,
              ElementsAre(HasSubstr("/delta_pairs/1/b: no enabled scheme is named \"off\"")));
}

}  // namespace
}  // namespace moe
