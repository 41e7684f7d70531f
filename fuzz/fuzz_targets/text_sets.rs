//! Sets of texts in published layouts (STS, SentEval, CLINC150, BEIR), of which the first byte chooses one. None may panic, and what is
//! said of texts is about texts that there are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_data::text::{OpenedTexts, open, open_beir_files};
use lookalike_fuzz::{files, with_files};

/// Name, folder and files of each layout but BEIR's.
const SETS: [(&str, &[&str]); 8] = [
    ("stsb", &["sts-test.csv"]),
    ("sickr", &["SICK_test_annotated.txt"]),
    ("sts12", &["STS12-en-test/STS.input.part.txt", "STS12-en-test/STS.gs.part.txt"]),
    ("mr", &["MR/rt-polarity.neg", "MR/rt-polarity.pos"]),
    ("trec", &["TREC/train_5500.label", "TREC/TREC_10.label"]),
    ("mrpc", &["MRPC/msr_paraphrase_train.txt", "MRPC/msr_paraphrase_test.txt"]),
    ("sst2", &["SST/binary/sentiment-train", "SST/binary/sentiment-dev", "SST/binary/sentiment-test"]),
    ("clinc150", &["clinc150/data_full.json.gz"]),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((chosen, bytes)) = bytes.split_first() else { return };
    let parts: [_; 3] = files(bytes);
    let Some((name, paths)) = SETS.get(usize::from(*chosen) % (SETS.len() + 1)) else {
        let paths = ["queries.jsonl", "corpus.jsonl", "judgements.tsv"];
        let [first, second, third] =
            [0, 1, 2].map(|part| (paths[part], Some(parts[part].unwrap_or_default())));
        return with_files(&[first, second, third], |folder| {
            let [queries, corpus, judgements] = paths.map(|path| folder.join(path));
            if let Ok((set, _)) = open_beir_files(&queries, &corpus, &judgements, chosen & 128 != 0) {
                let is_known = |query: u32, document: u32| {
                    (query as usize) < set.queries.len() && (document as usize) < set.documents.len()
                };
                assert!(set.judgements.iter().all(|judgement| is_known(judgement.query, judgement.document)));
            }
        });
    };
    let named: Vec<_> =
        paths.iter().zip(parts).map(|(path, part)| (*path, Some(part.unwrap_or_default()))).collect();
    with_files(&named, |root| match open(name, root) {
        Ok((OpenedTexts::Sts(set), _)) => assert_eq!(set.pairs.len(), set.scores.len()),
        Ok((OpenedTexts::Texts(set), _)) => assert!((0..set.len()).all(|row| !set.row(row).is_empty())),
        _ => {}
    });
});
