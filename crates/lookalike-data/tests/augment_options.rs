//! The table `[augment]` of a recipe: what it accepts, what it refuses and in which words.

#![expect(clippy::unwrap_used, reason = "a test may stop where a recipe is not as expected")]

use lookalike_data::image::augment::{AugmentOptions, Normalization, Preset};

fn parse(text: &str) -> AugmentOptions {
    toml::from_str(text).unwrap()
}

fn refusal(text: &str) -> String {
    parse(text).validate().unwrap_err().to_string()
}

#[test]
fn every_field_of_a_preset_can_be_replaced() {
    let options = parse(
        r#"
        preset = "simclr-cifar"
        size = 28
        crop_scale = [0.2, 1.0]
        crop_ratio = [0.5, 2.0]
        flip = 0.0
        jitter = [0.8, 0.8, 0.8, 0.2]
        jitter_probability = 0.7
        grayscale = 0.1
        blur = 0.5
        blur_sigma = [0.2, 1.0]
        blur_kernel = 5
        solarize = 0.2
        solarize_threshold = 100
        mean = [0.5, 0.5, 0.5]
        std = [0.25, 0.25, 0.25]
        "#,
    );
    let [first, second] = options.validate().unwrap();
    assert_eq!(first.size(), 28);
    assert_eq!(first.normalization(), Normalization { mean: [0.5; 3], std: [0.25; 3] });
    assert_eq!(first, second);
    assert_ne!(
        first,
        AugmentOptions { size: Some(28), ..Preset::SimclrCifar.options() }.validate().unwrap()[0]
    );
}

#[test]
fn an_empty_table_is_simclr_on_cifar() {
    assert_eq!(parse("").validate().unwrap(), Preset::SimclrCifar.options().validate().unwrap());
}

#[test]
fn presets_go_by_the_names_of_the_papers() {
    for (name, preset) in
        [("simclr-cifar", Preset::SimclrCifar), ("simclr", Preset::Simclr), ("moco-v2", Preset::MocoV2)]
    {
        assert_eq!(
            parse(&format!("preset = {name:?}")).validate().unwrap(),
            preset.options().validate().unwrap()
        );
    }
    let none = parse("preset = \"none\"\nsize = 32").validate().unwrap();
    assert_eq!(none[0].normalization(), Normalization { mean: [0.0; 3], std: [1.0; 3] });
}

#[test]
fn the_second_view_starts_from_the_first() {
    // MoCo v3: the first view is always blurred, the second seldom, and then solarised too.
    let text = "preset = \"moco-v2\"\nblur = 1.0\ncrop_scale = [0.08, 1.0]\n[second_view]\nblur = 0.1\nsolarize = 0.2";
    let [first, second] = parse(text).validate().unwrap();
    let alike = |text: &str| parse(text).validate().unwrap()[0].clone();
    let base = "preset = \"moco-v2\"\ncrop_scale = [0.08, 1.0]\n";
    assert_eq!(first, alike(&format!("{base}blur = 1.0")));
    assert_eq!(second, alike(&format!("{base}blur = 0.1\nsolarize = 0.2")));
}

#[test]
fn options_survive_being_written_and_read() {
    let options = parse("preset = \"simclr\"\nflip = 0.25\n[second_view]\nblur = 0.1");
    assert_eq!(parse(&toml::to_string(&options).unwrap()), options);
}

#[test]
fn a_misspelt_key_is_refused() {
    let error = toml::from_str::<AugmentOptions>("crop_scales = [0.2, 1.0]").unwrap_err().to_string();
    assert!(error.contains("unknown field `crop_scales`") && error.contains("`crop_scale`"), "{error}");
}

#[test]
fn impossible_values_are_refused_by_key() {
    for (text, key) in [
        ("size = 0", "augment.size"),
        ("size = 100000", "augment.size"),
        ("preset = \"none\"", "augment.size"),
        ("crop_scale = [0.5, 0.2]", "augment.crop_scale"),
        ("crop_scale = [0.0, 1.0]", "augment.crop_scale"),
        ("crop_scale = [0.5, 1.5]", "augment.crop_scale"),
        ("crop_scale = [nan, 1.0]", "augment.crop_scale"),
        ("crop_ratio = [2.0, 1.0]", "augment.crop_ratio"),
        ("crop_ratio = [1.0, inf]", "augment.crop_ratio"),
        ("flip = 1.5", "augment.flip"),
        ("flip = nan", "augment.flip"),
        ("jitter = [-0.1, 0.0, 0.0, 0.0]", "augment.jitter"),
        ("jitter = [0.1, 0.0, 0.0, 0.6]", "augment.jitter"),
        ("jitter_probability = -0.5", "augment.jitter_probability"),
        ("grayscale = 2.0", "augment.grayscale"),
        ("blur = -1.0", "augment.blur"),
        ("blur_sigma = [0.0, 2.0]", "augment.blur_sigma"),
        ("blur = 0.5\nblur_kernel = 4", "augment.blur_kernel"),
        ("blur = 0.5\nblur_kernel = 99", "augment.blur_kernel"),
        ("solarize = 1.1", "augment.solarize"),
        ("strong = \"randaugment\"\nstrong_probability = 1.5", "augment.strong_probability"),
        ("strong = \"randaugment\"\nrandaugment_operations = 0", "augment.randaugment_operations"),
        ("strong = \"randaugment\"\nrandaugment_operations = 9", "augment.randaugment_operations"),
        ("strong = \"randaugment\"\nrandaugment_magnitude = 31", "augment.randaugment_magnitude"),
        ("mean = [nan, 0.0, 0.0]", "augment.mean"),
        ("std = [0.0, 1.0, 1.0]", "augment.std"),
        ("[second_view]\nflip = 7.0", "augment.second_view.flip"),
        ("[second_view]\nsize = 16", "augment.second_view.size"),
        ("[second_view.second_view]\nflip = 0.5", "augment.second_view.second_view"),
    ] {
        let error = refusal(text);
        assert!(error.starts_with(&format!("{key}: ")), "{text}: {error}");
    }
}

#[test]
fn options_that_would_have_no_effect_are_refused() {
    let ratio = refusal("preset = \"none\"\nsize = 32\ncrop_ratio = [0.5, 2.0]");
    assert_eq!(ratio, "augment.crop_ratio: without crop_scale nothing is cropped; give crop_scale too");
    // A tenth of 16 pixels is a kernel of one tap, which blurs nothing.
    let blur = refusal("size = 16\nblur = 0.5");
    assert!(blur.starts_with("augment.blur_kernel: give an odd length from 3 to 31"), "{blur}");
}

#[test]
fn policies_go_by_their_names_and_each_view_has_its_own() {
    let plain = parse("").validate().unwrap();
    let mut seen = vec![plain[0].clone()];
    for name in
        ["autoaugment-imagenet", "autoaugment-cifar10", "autoaugment-svhn", "randaugment", "trivialaugment"]
    {
        let text = format!("strong = {name:?}\nstrong_probability = 0.5\n[second_view]\nstrong = \"none\"");
        let [first, second] = parse(&text).validate().unwrap();
        assert!(!seen.contains(&first), "{name} is another one's policy");
        assert_eq!(second, plain[1], "{name}");
        seen.push(first);
    }
}

#[test]
fn what_is_not_said_of_a_policy_is_as_published() {
    let alike =
        |one: &str, other: &str| assert_eq!(parse(one).validate().unwrap(), parse(other).validate().unwrap());
    alike(
        "strong = \"randaugment\"",
        "strong = \"randaugment\"\nstrong_probability = 1.0\nrandaugment_operations = 2\nrandaugment_magnitude = 9\n\
         strong_interpolation = \"nearest\"\nstrong_fill = [0, 0, 0]",
    );
    alike("strong = \"trivialaugment\"\nstrong_probability = 0.0", "");
}

#[test]
fn keys_of_policies_that_nothing_reads_are_refused() {
    let policy = "read only with a policy; give strong too";
    let rand = "read only with strong = \"randaugment\"";
    let weak = "the policy of strong takes its place in every view; leave it out, or give a strong_probability below 1";
    for (text, key, problem) in [
        ("strong_probability = 0.5", "strong_probability", policy),
        ("strong = \"none\"\nstrong_fill = [1, 2, 3]", "strong_fill", policy),
        ("strong_interpolation = \"bilinear\"", "strong_interpolation", policy),
        ("randaugment_magnitude = 9", "randaugment_magnitude", rand),
        ("strong = \"trivialaugment\"\nrandaugment_operations = 2", "randaugment_operations", rand),
        ("strong = \"randaugment\"\njitter = [0.4, 0.4, 0.4, 0.1]", "jitter", weak),
        ("strong = \"randaugment\"\nsolarize = 0.2", "solarize", weak),
        ("strong = \"randaugment\"\n[second_view]\nblur = 0.2", "second_view.blur", weak),
        ("[second_view]\nstrong_fill = [0, 0, 0]", "second_view.strong_fill", policy),
        (
            "strong = \"randaugment\"\njitter_probability = 0.5\n[second_view]\npreset = \"simclr-cifar\"",
            "jitter_probability",
            weak,
        ),
    ] {
        assert_eq!(refusal(text), format!("augment.{key}: {problem}"), "{text}");
    }
}

#[test]
fn a_second_view_may_read_what_the_first_does_not() {
    for text in [
        "strong = \"randaugment\"\njitter = [0.8, 0.8, 0.8, 0.2]\n[second_view]\nstrong = \"none\"",
        "randaugment_magnitude = 20\n[second_view]\nstrong = \"randaugment\"",
        // Nothing is blurred, so that a view too small for SimCLR's kernel needs none of its own.
        "preset = \"simclr\"\nsize = 16\nstrong = \"randaugment\"",
    ] {
        parse(text).validate().unwrap();
    }
}

#[test]
fn a_policy_without_a_name_or_with_an_impossible_colour_is_refused() {
    let unreadable = |text: &str| toml::from_str::<AugmentOptions>(text).unwrap_err().to_string();
    assert!(unreadable("strong = \"autoaugment\"").contains("`autoaugment-imagenet`"));
    assert!(unreadable("strong_fill = [0, 0, 256]").contains("256"));
    assert!(unreadable("strong_interpolation = \"bicubic\"").contains("`bilinear`"));
}
