//! The files that the authors of the data sets published: their addresses, and what identifies a true copy.
//!
//! Where the SHA-256 sums come from:
//!
//! - The archives of CIFAR and the files of MNIST: TensorFlow Datasets (`url_checksums`, with the lengths)
//!   and torchvision for Ruby list the same sums.
//! - The files in CIFAR-10's archive: computed from these files; torchvision for Ruby lists the same sums.
//! - Fashion-MNIST: computed from files with the MD5 sums that its authors publish in their README;
//!   TensorFlow Datasets lists the same SHA-256 sums, with the lengths. The unpacked files were unpacked from
//!   these.

/// A published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedFile {
    /// Its name, without a folder.
    pub name: &'static str,
    /// Its address.
    pub url: &'static str,
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: &'static str,
    /// Its length, where it is known.
    pub bytes: Option<u64>,
}

/// The published files of a data set; none where it has none.
pub fn published_files(dataset: &str) -> &'static [PublishedFile] {
    match dataset {
        "cifar10" => CIFAR10,
        "cifar100" => CIFAR100,
        "mnist" => MNIST,
        "fashion-mnist" => FASHION_MNIST,
        _ => &[],
    }
}

/// SHA-256 of the published file named `file`, which is downloaded or unpacked from a downloaded one.
pub(crate) fn published_sha256(dataset: &str, file: &str) -> Option<&'static str> {
    let unpacked = match dataset {
        "cifar10" => CIFAR10_UNPACKED,
        "fashion-mnist" => FASHION_MNIST_UNPACKED,
        _ => &[],
    };
    let downloaded = published_files(dataset).iter().map(|published| (published.name, published.sha256));
    downloaded.chain(unpacked.iter().copied()).find(|(name, _)| *name == file).map(|(_, sha256)| sha256)
}

const CIFAR10_UNPACKED: &[(&str, &str)] = &[
    ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
    ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
    ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
    ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
    ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
    ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
];

const FASHION_MNIST_UNPACKED: &[(&str, &str)] = &[
    ("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    ("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
];

const CIFAR10: &[PublishedFile] = &[PublishedFile {
    name: "cifar-10-binary.tar.gz",
    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    bytes: Some(170_052_171),
}];

const CIFAR100: &[PublishedFile] = &[PublishedFile {
    name: "cifar-100-binary.tar.gz",
    url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    bytes: Some(168_513_733),
}];

const MNIST: &[PublishedFile] = &[
    PublishedFile {
        name: "train-images-idx3-ubyte.gz",
        url: "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz",
        sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        bytes: Some(9_912_422),
    },
    PublishedFile {
        name: "train-labels-idx1-ubyte.gz",
        url: "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
        sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        bytes: Some(28_881),
    },
    PublishedFile {
        name: "t10k-images-idx3-ubyte.gz",
        url: "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-images-idx3-ubyte.gz",
        sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        bytes: Some(1_648_877),
    },
    PublishedFile {
        name: "t10k-labels-idx1-ubyte.gz",
        url: "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-labels-idx1-ubyte.gz",
        sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        bytes: Some(4_542),
    },
];

/// From a commit of the authors' repository. Its files have the same bytes as those at the addresses in their
/// README, which serve plain HTTP only.
const FASHION_MNIST: &[PublishedFile] = &[
    PublishedFile {
        name: "train-images-idx3-ubyte.gz",
        url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/train-images-idx3-ubyte.gz",
        sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        bytes: Some(26_421_880),
    },
    PublishedFile {
        name: "train-labels-idx1-ubyte.gz",
        url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/train-labels-idx1-ubyte.gz",
        sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        bytes: Some(29_515),
    },
    PublishedFile {
        name: "t10k-images-idx3-ubyte.gz",
        url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/t10k-images-idx3-ubyte.gz",
        sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        bytes: Some(4_422_102),
    },
    PublishedFile {
        name: "t10k-labels-idx1-ubyte.gz",
        url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/t10k-labels-idx1-ubyte.gz",
        sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        bytes: Some(5_148),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_file_is_fetched_by_https_and_has_a_sum_of_64_digits() {
        for dataset in ["cifar10", "cifar100", "mnist", "fashion-mnist"] {
            assert!(!published_files(dataset).is_empty(), "{dataset}");
            for file in published_files(dataset) {
                assert!(file.url.starts_with("https://") && file.url.ends_with(file.name), "{file:?}");
                assert_eq!(published_sha256(dataset, file.name), Some(file.sha256));
            }
        }
        let unpacked = CIFAR10_UNPACKED.iter().chain(FASHION_MNIST_UNPACKED).map(|(_, sha256)| *sha256);
        let files = [CIFAR10, CIFAR100, MNIST, FASHION_MNIST].concat();
        for sha256 in files.iter().map(|file| file.sha256).chain(unpacked) {
            assert_eq!(sha256.len(), 64);
            assert!(sha256.bytes().all(|digit| b"0123456789abcdef".contains(&digit)), "{sha256}");
        }
    }
}
