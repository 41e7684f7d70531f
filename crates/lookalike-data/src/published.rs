//! The files that the authors of the data sets published: where they are, and what tells a true copy.

/// A published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// Its name, without a folder.
    pub name: &'static str,
    /// Where it can be fetched.
    pub url: &'static str,
    /// MD5 of its bytes, 32 lower-case hexadecimal digits. It tells damage, not malice.
    pub md5: &'static str,
    /// Its length, where that is known for certain.
    pub bytes: Option<u64>,
}

/// The files to fetch for a data set, none for one that nobody published.
pub fn known_files(dataset: &str) -> &'static [KnownFile] {
    match dataset {
        "cifar10" => CIFAR10,
        "cifar100" => CIFAR100,
        "mnist" => MNIST,
        "fashion-mnist" => FASHION_MNIST,
        _ => &[],
    }
}

/// MD5 of the published file that is called `file`, whether it is to be fetched or comes out of one that is.
pub(crate) fn published_md5(dataset: &str, file: &str) -> Option<&'static str> {
    let unpacked = match dataset {
        "cifar10" => CIFAR10_UNPACKED,
        "fashion-mnist" => FASHION_MNIST_UNPACKED,
        _ => &[],
    };
    let fetched = known_files(dataset).iter().map(|known| (known.name, known.md5));
    fetched.chain(unpacked.iter().copied()).find(|(name, _)| *name == file).map(|(_, md5)| md5)
}

/// Sums of the files that hold the published arrays.
const CIFAR10_UNPACKED: &[(&str, &str)] = &[
    ("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
    ("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
    ("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
    ("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
    ("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"),
    ("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),
];

/// Computed from the published gzip files.
const FASHION_MNIST_UNPACKED: &[(&str, &str)] = &[
    ("train-images-idx3-ubyte", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    ("train-labels-idx1-ubyte", "9018921c3c673c538a1fc5bad174d6f9"),
    ("t10k-images-idx3-ubyte", "8181f5470baa50b63fa0f6fddb340f0a"),
    ("t10k-labels-idx1-ubyte", "15d484375f8d13e6eb1aabb0c3f46965"),
];

const CIFAR10: &[KnownFile] = &[KnownFile {
    name: "cifar-10-binary.tar.gz",
    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5: "c32a1d4ab5d03f1284b67883e8d87530",
    bytes: Some(170_052_171),
}];

const CIFAR100: &[KnownFile] = &[KnownFile {
    name: "cifar-100-binary.tar.gz",
    url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5: "03b5dce01913d631647c71ecec9e9cb8",
    bytes: None,
}];

const MNIST: &[KnownFile] = &[
    KnownFile {
        name: "train-images-idx3-ubyte.gz",
        url: "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz",
        md5: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        bytes: Some(9_912_422),
    },
    KnownFile {
        name: "train-labels-idx1-ubyte.gz",
        url: "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
        md5: "d53e105ee54ea40749a09fcbcd1e9432",
        bytes: Some(28_881),
    },
    KnownFile {
        name: "t10k-images-idx3-ubyte.gz",
        url: "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-images-idx3-ubyte.gz",
        md5: "9fb629c4189551a2d022fa330f9573f3",
        bytes: Some(1_648_877),
    },
    KnownFile {
        name: "t10k-labels-idx1-ubyte.gz",
        url: "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-labels-idx1-ubyte.gz",
        md5: "ec29112dd5afa0611ce80d1b7f02629c",
        bytes: Some(4_542),
    },
];

const FASHION_MNIST: &[KnownFile] = &[
    KnownFile {
        name: "train-images-idx3-ubyte.gz",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
        md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        bytes: Some(26_421_880),
    },
    KnownFile {
        name: "train-labels-idx1-ubyte.gz",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
        md5: "25c81989df183df01b3e8a0aad5dffbe",
        bytes: Some(29_515),
    },
    KnownFile {
        name: "t10k-images-idx3-ubyte.gz",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
        md5: "bef4ecab320f06d8554ea6380940ec79",
        bytes: Some(4_422_102),
    },
    KnownFile {
        name: "t10k-labels-idx1-ubyte.gz",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
        md5: "bb300cfdad3c16e7a12a480ee83cd310",
        bytes: Some(5_148),
    },
];
