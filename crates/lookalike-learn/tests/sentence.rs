//! Sentence encoders against sentence-transformers, on small folders of random weights that `fixtures/make_sentence.py` wrote.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use lookalike_base::progress::Cancellation;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_base::{Array, Matrix, Watch};
use lookalike_data::text::TokenLists;
use lookalike_learn::LearnError;
use lookalike_learn::encoder::Encoder;
use lookalike_learn::encoder::text::TextPooling;
use lookalike_learn::engine::{Device, Precision, Tensor, from_host, to_host};
use lookalike_learn::input::{Column, Input, RowId, TextInput};
use lookalike_learn::module::{Pass, for_each_tensor};
use lookalike_learn::sentence::{EncodeOptions, SentenceEncoder, save};
use lookalike_learn::step::Step;

const FOLDERS: [&str; 5] = ["bert", "roberta", "mpnet", "distilbert", "static"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sentence")
}

fn texts() -> Vec<String> {
    let text = fs::read_to_string(fixtures().join("texts.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn open(path: &Path) -> Result<SentenceEncoder, LearnError> {
    SentenceEncoder::open(path, &Device::flex())
}

fn encode(encoder: &mut SentenceEncoder, texts: &[String], options: &EncodeOptions) -> Matrix {
    encoder.encode(texts, options, Watch::silent(&Cancellation::new())).unwrap().rows
}

fn published() -> TensorFile {
    tensors::read(fixtures().join("vectors.safetensors")).unwrap()
}

fn is_near(ours: &Matrix, theirs: &[f32], what: &str) {
    let ours = ours.rows().values();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let worst = ours.iter().zip(theirs).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst <= 2e-5 * largest, "{what}: off by {worst} of {largest}");
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let (published, texts) = (published(), texts());
    let of = |name: &str| published.tensors[name].as_f32().unwrap();
    for name in FOLDERS {
        let mut encoder = open(&fixtures().join(name)).unwrap();
        is_near(&encode(&mut encoder, &texts, &EncodeOptions::default()), of(name), name);
        if name == "static" {
            continue;
        }
        let prompt = Some(encoder.prompt("query").unwrap().to_owned());
        let options = EncodeOptions { prompt, ..EncodeOptions::default() };
        let key = format!("{name}.query");
        is_near(&encode(&mut encoder, &texts[..8], &options), of(&key), &key);
        encoder.folder.include_prompt = false;
        let key = format!("{name}.query without prompt");
        is_near(&encode(&mut encoder, &texts[..8], &options), of(&key), &key);
    }
}

#[test]
fn a_text_has_the_same_bits_alone_and_in_any_batch() {
    let texts = texts();
    for name in FOLDERS {
        let mut encoder = open(&fixtures().join(name)).unwrap();
        let whole = encode(&mut encoder, &texts, &EncodeOptions::default());
        let turned: Vec<String> = texts.iter().rev().cloned().collect();
        let back = encode(&mut encoder, &turned, &EncodeOptions::default());
        // More texts than are encoded together, so that parts begin elsewhere.
        let many: Vec<String> = texts[3..].iter().chain(&texts).cycle().take(700).cloned().collect();
        let among = encode(&mut encoder, &many, &EncodeOptions::default());
        for (index, text) in texts.iter().enumerate() {
            let row = whole.rows().row(index);
            let alone = encode(&mut encoder, std::slice::from_ref(text), &EncodeOptions::default());
            assert_eq!(alone.rows().row(0), row, "{name}: `{text}` alone");
            assert_eq!(back.rows().row(texts.len() - 1 - index), row, "{name}: `{text}` in another order");
            for (place, _) in many.iter().enumerate().filter(|(_, other)| *other == text) {
                assert_eq!(among.rows().row(place), row, "{name}: `{text}` as text {place} of many");
            }
        }
    }
}

#[test]
fn what_is_written_is_read_again_with_the_same_vectors() {
    let (folder, texts) = (tempfile::tempdir().unwrap(), texts());
    for name in FOLDERS {
        let source = fixtures().join(name);
        let mut encoder = open(&source).unwrap();
        let path = folder.path().join(name);
        save(&mut encoder, Some(&source), &path).unwrap();
        let mut again = open(&path).unwrap();
        let [ours, theirs] =
            [&mut encoder, &mut again].map(|encoder| encode(encoder, &texts, &EncodeOptions::default()));
        assert_eq!(ours, theirs, "{name}");
        assert_eq!(again.folder.prompts, encoder.folder.prompts);
        let error = save(&mut encoder, Some(&source), &path).unwrap_err().to_string();
        assert!(error.contains("there already"), "{error}");
    }
    // Nothing unfinished is left.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FOLDERS.len());
}

#[test]
fn bf16_is_near_and_every_way_of_pooling_differs() {
    let texts = texts();
    let mut encoder = open(&fixtures().join("bert")).unwrap();
    let whole = encode(&mut encoder, &texts, &EncodeOptions::default());
    let options = EncodeOptions { precision: Precision::Bf16, ..EncodeOptions::default() };
    let rounded = encode(&mut encoder, &texts, &options);
    assert_ne!(whole, rounded);
    for row in 0..texts.len() {
        let cosine: f32 = whole.rows().row(row).iter().zip(rounded.rows().row(row)).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.999, "{row}: {cosine}");
    }
    let mut seen = vec![whole];
    for pooling in [TextPooling::Cls, TextPooling::Max] {
        encoder.encoder.pooling = vec![pooling];
        let rows = encode(&mut encoder, &texts, &EncodeOptions::default());
        assert!(!seen.contains(&rows), "{pooling:?}");
        seen.push(rows);
    }
}

/// A copy of the folder `name` in which `change` changes something.
fn changed(name: &str, change: impl FnOnce(&Path)) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (path, name) = (entry.as_ref().unwrap().path(), entry.as_ref().unwrap().file_name());
            if path.is_dir() {
                copy(&path, &to.join(name));
            } else {
                fs::copy(&path, to.join(name)).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&fixtures().join(name), folder.path());
    change(folder.path());
    folder
}

fn replaced(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} in {}", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

fn without_tensor(path: &Path, name: &str) {
    let mut file = tensors::read(path).unwrap();
    let key = file.tensors.keys().find(|key| key.ends_with(name)).unwrap().clone();
    file.tensors.remove(&key);
    tensors::write(path, &file).unwrap();
}

#[test]
fn folders_that_are_no_encoder_are_refused_with_file_and_reason() {
    type Change = fn(&Path);
    let cases: [(&str, Change, &[&str]); 16] = [
        ("bert", |path| fs::remove_file(path.join("tokenizer.json")).unwrap(), &["tokenizer.json"]),
        ("bert", |path| fs::remove_file(path.join("model.safetensors")).unwrap(), &["no model.safetensors"]),
        (
            "bert",
            |path| fs::rename(path.join("model.safetensors"), path.join("pytorch_model.bin")).unwrap(),
            &["PyTorch's own format", "save_file"],
        ),
        ("bert", |path| fs::remove_file(path.join("config.json")).unwrap(), &["config.json", "missing"]),
        (
            "bert",
            |path| fs::write(path.join("config.json"), "[1]").unwrap(),
            &["config.json", "no JSON object"],
        ),
        ("bert", |path| replaced(&path.join("config.json"), "\"gelu\"", "\"silu\""), &["hidden_act", "silu"]),
        (
            "bert",
            |path| replaced(&path.join("config.json"), "\"bert\"", "\"t5\""),
            &["model_type", "t5", "mpnet"],
        ),
        (
            "bert",
            |path| {
                replaced(
                    &path.join("config.json"),
                    "\"num_attention_heads\": 3",
                    "\"num_attention_heads\": 5",
                );
            },
            &["5 attention heads"],
        ),
        (
            "bert",
            |path| replaced(&path.join("config.json"), "\"hidden_size\": 24", "\"hidden_size\": 99999999"),
            &["hidden_size", "from 1 to"],
        ),
        ("bert", |path| replaced(&path.join("modules.json"), "1_Pooling", "../1_Pooling"), &["outside"]),
        (
            "bert",
            |path| replaced(&path.join("modules.json"), "models.Pooling", "models.CNN"),
            &["models.CNN", "Pooling"],
        ),
        (
            "bert",
            |path| replaced(&path.join("1_Pooling/config.json"), "true", "false"),
            &["no way of pooling"],
        ),
        (
            "mpnet",
            |path| replaced(&path.join("1_Pooling/config.json"), "\"max\"", "\"lasttoken\""),
            &["lasttoken", "not computed"],
        ),
        ("mpnet", |path| replaced(&path.join("2_Dense/config.json"), "48", "47"), &["vectors of 47", "48"]),
        (
            "mpnet",
            |path| without_tensor(&path.join("model.safetensors"), "encoder.layer.1.attention.attn.v.weight"),
            &["encoder.layer.1.attention.attn.v.weight", "missing"],
        ),
        (
            "static",
            |path| without_tensor(&path.join("model.safetensors"), "embedding.weight"),
            &["embedding.weight", "missing"],
        ),
    ];
    for (name, change, words) in cases {
        let folder = changed(name, change);
        let error = open(folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
    let error = open(Path::new("/nowhere/at/all")).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("not a folder"), "{error}");
    // Sizes that would take all memory are compared with the tensors first.
    let folder = changed("bert", |path| {
        let config = path.join("config.json");
        replaced(&config, "\"vocab_size\": 260", "\"vocab_size\": 4000000");
        replaced(&config, "\"hidden_size\": 24", "\"hidden_size\": 12000");
        replaced(&path.join("1_Pooling/config.json"), "24", "12000");
    });
    let error = open(folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("word_embeddings") && error.contains("[4000000, 12000]"), "{error}");
    // Another shape is named with both.
    let folder = changed("bert", |path| {
        replaced(&path.join("config.json"), "\"intermediate_size\": 40", "\"intermediate_size\": 41");
    });
    let error = open(folder.path()).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.contains("intermediate.dense") && error.contains("[40") && error.contains("[41"),
        "{error}"
    );
}

#[test]
fn odd_texts_and_prompts_have_stated_vectors_or_errors() {
    let watch = Watch::silent;
    let cancellation = Cancellation::new();
    let mut bert = open(&fixtures().join("bert")).unwrap();
    let long = "word ".repeat(500);
    let texts = [String::new(), long.clone(), "   ".to_owned()];
    let encoded = bert.encode(&texts, &EncodeOptions::default(), watch(&cancellation)).unwrap();
    assert_eq!(encoded.full, 1, "the long text is cut to the greatest length");
    assert_eq!(encoded.rows.rows().row(0), encoded.rows.rows().row(2), "spaces alone are an empty text");
    assert!(encoded.rows.rows().values().iter().all(|value| value.is_finite()));
    let none: [String; 0] = [];
    let error = bert.encode(&none, &EncodeOptions::default(), watch(&cancellation)).unwrap_err().to_string();
    assert!(error.contains("no text"), "{error}");

    let error = bert.prompt("queri").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("`query`") && error.contains("queri"), "{error}");
    let options = EncodeOptions { prompt: Some(long), ..EncodeOptions::default() };
    let error = bert.encode(&texts, &options, watch(&cancellation)).unwrap_err().to_string();
    assert!(error.contains("prompt") && error.contains("36"), "{error}");

    // A prompt of two tokens leaves room from five tokens on: one of the beginning, one of the end, one of the text.
    let short = EncodeOptions { prompt: Some("a a".to_owned()), ..EncodeOptions::default() };
    for (most, fits) in [(4, false), (5, true)] {
        bert.folder.max_length = Some(most);
        assert_eq!(bert.encode(&["b"], &short, watch(&cancellation)).is_ok(), fits, "{most}");
    }
    bert.folder.max_length = Some(2);
    let error = bert.encode(&["b"], &EncodeOptions::default(), watch(&cancellation)).unwrap_err().to_string();
    assert!(error.contains("cut at 2"), "{error}");
    bert.folder.max_length = Some(36);

    let mut table = open(&fixtures().join("static")).unwrap();
    let encoded = table.encode(&texts, &EncodeOptions::default(), watch(&cancellation)).unwrap();
    assert!(encoded.rows.rows().row(0).iter().all(|value| *value == 0.0), "no tokens, no vector");

    cancellation.cancel();
    let stopped = bert.encode(&texts, &EncodeOptions::default(), watch(&cancellation));
    assert!(matches!(stopped, Err(LearnError::Cancelled)));
}

#[test]
fn weights_that_make_no_numbers_are_an_error_that_shows_the_text() {
    let folder = changed("bert", |path| {
        let path = path.join("model.safetensors");
        let mut file = tensors::read(&path).unwrap();
        for (name, array) in &mut file.tensors {
            if name.ends_with("embeddings.LayerNorm.gamma") {
                *array = Array::f32([24], vec![f32::NAN; 24]);
            }
        }
        tensors::write(&path, &file).unwrap();
    });
    let cancellation = Cancellation::new();
    let mut encoder = open(folder.path()).unwrap();
    let result = encoder.encode(&["a text"], &EncodeOptions::default(), Watch::silent(&cancellation));
    let error = result.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("a text") && error.contains("NaN"), "{error}");
}

#[test]
fn a_greatest_length_above_the_table_of_positions_is_cut_and_said() {
    let folder = changed("bert", |path| {
        fs::write(path.join("sentence_bert_config.json"), "{\"max_seq_length\": 512}").unwrap();
    });
    let mut encoder = open(folder.path()).unwrap();
    assert_eq!(encoder.folder.max_length, Some(40));
    assert!(encoder.folder.warnings[0].contains("512") && encoder.folder.warnings[0].contains("40"));
    encode(&mut encoder, &["word ".repeat(500)], &EncodeOptions::default());
}

#[test]
fn a_checkpoint_without_the_files_of_sentence_transformers_is_the_mean_of_its_tokens() {
    let folder = changed("bert", |path| {
        for name in ["modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"] {
            fs::remove_file(path.join(name)).unwrap();
        }
    });
    let encoder = open(folder.path()).unwrap();
    assert_eq!(encoder.encoder.pooling, [TextPooling::Mean]);
    assert!(!encoder.encoder.normalize);
    assert!(encoder.folder.warnings[0].contains("mean"));
}

/// What `encoder` makes in training of texts with these rows.
fn in_training(encoder: &mut SentenceEncoder, tokens: &[&[u32]], rows: &[RowId]) -> Vec<Vec<f32>> {
    let lists: TokenLists = tokens.iter().copied().collect();
    let column = Column { input: Input::new(TextInput::from(lists)), rows: rows.into() };
    let mut pass = Pass::training(&Step::default());
    let features = pass.reading(&column, |pass| encoder.encoder.forward(&column.input, pass)).unwrap();
    let width = encoder.dimension();
    to_host(features.vector).chunks(width).map(<[f32]>::to_vec).collect()
}

#[test]
fn dropout_tells_two_views_of_a_text_apart_and_hangs_on_nothing_else() {
    let mut encoder = open(&fixtures().join("mpnet")).unwrap();
    let tokens: [&[u32]; 3] = [&[0, 30, 31, 2], &[0, 40, 41, 42, 43, 2], &[0, 50, 2]];
    let row = |instance, view| RowId { instance, view };
    let rows = [row(5, 0), row(6, 0), row(7, 0)];
    let whole = in_training(&mut encoder, &tokens, &rows);
    let again = in_training(&mut encoder, &tokens, &rows.map(|id| RowId { view: 1, ..id }));
    let turned = in_training(&mut encoder, &[tokens[2], tokens[0], tokens[1]], &[rows[2], rows[0], rows[1]]);
    for index in 0..3 {
        assert_ne!(whole[index], again[index], "another view has another mask");
        assert_eq!(whole[index], turned[(index + 1) % 3], "the order of rows does not matter");
        let alone = in_training(&mut encoder, &tokens[index..=index], &rows[index..=index]);
        assert_eq!(whole[index], alone[0], "nor do the others");
    }
}

#[test]
fn tokens_of_another_vocabulary_and_texts_that_are_too_long_are_errors() {
    let mut encoder = open(&fixtures().join("bert")).unwrap();
    let of = |encoder: &mut SentenceEncoder, tokens: Vec<u32>| {
        let lists: TokenLists = [tokens].into_iter().collect();
        let input = Input::new(TextInput::from(lists));
        encoder.encoder.forward(&input, &mut Pass::evaluation()).map(|_| ()).unwrap_err().to_string()
    };
    let error = of(&mut encoder, vec![2, 100_000, 3]);
    assert!(error.contains("100000") && error.contains("vocabulary"), "{error}");
    let error = of(&mut encoder, vec![2; 41]);
    assert!(error.contains("41 tokens") && error.contains("40"), "{error}");
}

#[test]
fn gradients_of_all_parameters_are_those_of_pytorch_in_float64() {
    let published = published();
    let device = Device::flex();
    let mut encoder = open(&fixtures().join("mpnet")).unwrap();
    let longest = encoder.folder.max_length;
    let texts = texts();
    let lists = texts.iter().map(|text| encoder.tokenizer.encode(text, longest, true).unwrap());
    let input = Input::new(TextInput::from(lists.collect::<TokenLists>()));
    let mut pass = Pass { gradient: true, ..Pass::evaluation() };
    let vector = encoder.encoder.forward(&input, &mut pass).unwrap().vector;
    let shape = vector.dims();
    let weights = (0..shape[0] * shape[1]).map(|at| (at as f64).sin() as f32).collect();
    let weights: Tensor<2> = from_host(weights, shape, &device);
    let mut gradients = (vector * weights).sum().backward();
    let mut compared = 0;
    for_each_tensor(&mut encoder.encoder, &mut |name, _, tensor| {
        let theirs = match name.strip_prefix("dense.0.") {
            Some(name) => format!("gradient of 2.{name}"),
            None => format!("gradient of 0.model.{name}"),
        };
        let Some(theirs) = published.tensors.get(&theirs).and_then(|array| array.as_f32()) else {
            assert!(name.starts_with("pooler."), "{name} has no gradient of theirs");
            return;
        };
        let ours = to_host(tensor.take_gradient(&mut gradients).unwrap());
        let largest = theirs.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let worst = ours.iter().zip(theirs).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        // Of a key's bias the gradient is 0 but for rounding: it moves all scores of a query alike.
        if !name.ends_with("attn.k.bias") {
            assert!(worst <= 1e-5 * largest.max(1e-2), "{name}: off by {worst} of {largest}");
        }
        compared += 1;
    });
    assert_eq!(compared, published.tensors.keys().filter(|name| name.starts_with("gradient of")).count());
}

#[test]
fn a_text_without_tokens_has_no_gradient_that_is_no_number() {
    let mut encoder = open(&fixtures().join("static")).unwrap();
    encoder.encoder.normalize = true;
    let lists: TokenLists = [vec![], vec![7, 8]].into_iter().collect();
    let input = Input::new(TextInput::from(lists));
    let mut pass = Pass { gradient: true, ..Pass::evaluation() };
    let vector = encoder.encoder.forward(&input, &mut pass).unwrap().vector;
    assert!(to_host(vector.clone())[..encoder.dimension()].iter().all(|value| *value == 0.0));
    let mut gradients = vector.sum().backward();
    for_each_tensor(&mut encoder.encoder, &mut |name, _, tensor| {
        let gradient = to_host(tensor.take_gradient(&mut gradients).unwrap());
        assert!(gradient.iter().all(|value| value.is_finite()), "{name}");
        assert!(gradient.iter().any(|value| *value != 0.0), "{name}");
    });
}
