//! The keys of strong augmentation, and which keys are read beside it.

use super::super::Chance;
use super::super::affine::Sampling;
use super::super::strong::policies::{CIFAR10, IMAGENET, SVHN};
use super::super::strong::{MOST_OPERATIONS, Policy, Space, Strong};
use super::{AugmentOptions, check, probability, refuse};
use crate::error::DataError;
use serde::{Deserialize, Serialize};

/// The policies by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrongName {
    /// `none`: no policy, for a second view beside a first one that has one.
    None,
    /// `autoaugment-imagenet`: the policy that `AutoAugment` found on `ImageNet`.
    AutoaugmentImagenet,
    /// `autoaugment-cifar10`: that on CIFAR-10.
    AutoaugmentCifar10,
    /// `autoaugment-svhn`: that on SVHN.
    AutoaugmentSvhn,
    /// `randaugment`: some of fourteen operations at one magnitude.
    Randaugment,
    /// `trivialaugment`: one of fourteen operations at any magnitude.
    Trivialaugment,
}

/// When a key is read that is not read always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// With a policy.
    WithPolicy,
    /// With `RandAugment`.
    WithRandAugment,
    /// Where some views get no policy.
    WithoutPolicy,
}

impl Read {
    /// What is said of a key that is not read.
    fn problem(self) -> &'static str {
        match self {
            Self::WithPolicy => "read only with a policy; give strong too",
            Self::WithRandAugment => "read only with strong = \"randaugment\"",
            Self::WithoutPolicy => {
                "the policy of strong takes its place in every view; leave it out, or give a strong_probability below 1"
            }
        }
    }
}

impl AugmentOptions {
    fn policy(&self) -> StrongName {
        self.strong.unwrap_or(StrongName::None)
    }

    /// Whether every view gets a policy.
    pub(super) fn is_always_strong(&self) -> bool {
        self.policy() != StrongName::None && self.strong_probability.unwrap_or(1.0) == 1.0
    }

    /// The policy with its probability; none where it never comes, so that nothing is drawn for it.
    pub(super) fn strong(&self, table: &str) -> Result<Option<Chance<Strong>>, DataError> {
        let probability = probability(self.strong_probability.or(Some(1.0)), table, "strong_probability")?;
        let operations = self.randaugment_operations.unwrap_or(2);
        let allowed = (1..=MOST_OPERATIONS).contains(&operations);
        check(allowed, table, "randaugment_operations", "give how many operations a view gets, 1 to 8")?;
        let magnitude = self.randaugment_magnitude.unwrap_or(9);
        let allowed = magnitude < Space::RAND_AUGMENT.bins();
        check(allowed, table, "randaugment_magnitude", "give a magnitude from 0 to 30")?;
        let policy = match self.policy() {
            StrongName::None => return Ok(None),
            StrongName::AutoaugmentImagenet => Policy::AutoAugment(&IMAGENET),
            StrongName::AutoaugmentCifar10 => Policy::AutoAugment(&CIFAR10),
            StrongName::AutoaugmentSvhn => Policy::AutoAugment(&SVHN),
            StrongName::Randaugment => Policy::RandAugment { operations, magnitude },
            StrongName::Trivialaugment => Policy::TrivialAugment,
        };
        let sampling = Sampling {
            interpolation: self.strong_interpolation.unwrap_or_default(),
            fill: self.strong_fill.unwrap_or_default(),
        };
        Ok((probability > 0.0).then_some(Chance { probability, operation: Strong { policy, sampling } }))
    }

    /// Keys that some policies do not read, and whether this table gives them.
    fn conditional(&self) -> [(&'static str, Read, bool); 13] {
        use Read::{WithPolicy, WithRandAugment, WithoutPolicy};
        [
            ("strong_probability", WithPolicy, self.strong_probability.is_some()),
            ("strong_interpolation", WithPolicy, self.strong_interpolation.is_some()),
            ("strong_fill", WithPolicy, self.strong_fill.is_some()),
            ("randaugment_operations", WithRandAugment, self.randaugment_operations.is_some()),
            ("randaugment_magnitude", WithRandAugment, self.randaugment_magnitude.is_some()),
            ("jitter", WithoutPolicy, self.jitter.is_some()),
            ("jitter_probability", WithoutPolicy, self.jitter_probability.is_some()),
            ("grayscale", WithoutPolicy, self.grayscale.is_some()),
            ("blur", WithoutPolicy, self.blur.is_some()),
            ("blur_sigma", WithoutPolicy, self.blur_sigma.is_some()),
            ("blur_kernel", WithoutPolicy, self.blur_kernel.is_some()),
            ("solarize", WithoutPolicy, self.solarize.is_some()),
            ("solarize_threshold", WithoutPolicy, self.solarize_threshold.is_some()),
        ]
    }

    /// Whether a view of these options, all written out, reads such a key.
    fn reads(&self, key: Read) -> bool {
        match key {
            Read::WithPolicy => self.policy() != StrongName::None,
            Read::WithRandAugment => self.policy() == StrongName::Randaugment,
            Read::WithoutPolicy => !self.is_always_strong(),
        }
    }

    /// Refuses a key that neither the view of its own table reads nor, of the first table, the second view that has it from
    /// there; `first` and `second` are the views written out.
    pub(super) fn refuse_unread(&self, first: &Self, second: &Self) -> Result<(), DataError> {
        let own = self.second_view.as_deref();
        let second_keys = own.map(Self::conditional);
        let inherits = own.is_some_and(|own| own.preset.is_none());
        for (index, (key, read, given)) in self.conditional().into_iter().enumerate() {
            let handed_on = inherits && second_keys.is_some_and(|keys| !keys[index].2) && second.reads(read);
            if given && !first.reads(read) && !handed_on {
                return Err(refuse("augment.", key, read.problem()));
            }
        }
        for (key, read, given) in second_keys.into_iter().flatten() {
            if given && !second.reads(read) {
                return Err(refuse("augment.second_view.", key, read.problem()));
            }
        }
        Ok(())
    }
}
