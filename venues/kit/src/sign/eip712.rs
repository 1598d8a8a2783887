//! Typed structured data (EIP-712), as far as venues use it: flat structs of simple fields.
//!
//! ```
//! use omnivenue_kit::sign::eip712::{self, Domain, Field};
//! use omnivenue_kit::sign::Address;
//!
//! let exchange = Domain::new().name("Exchange").version("1").chain_id(1337).verifying_contract(Address::new([0; 20]));
//! let agent = eip712::hash_struct("Agent(string source,bytes32 connectionId)", &[Field::String("a"), Field::Bytes32([7; 32])]);
//! let digest = eip712::digest(&exchange.separator(), &agent);
//! assert_eq!(digest.len(), 32);
//! ```

use super::{Address, keccak256};

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// `string`: hashed.
    String(&'a str),
    /// `bytes`: hashed.
    Bytes(&'a [u8]),
    /// `bytes32`; also a nested struct, by its hash.
    Bytes32([u8; 32]),
    /// `address`.
    Address(Address),
    /// `uint8` to `uint64`.
    Uint64(u64),
    /// `uint256`, big-endian.
    Uint256([u8; 32]),
    /// `bool`.
    Bool(bool),
}

/// Where a signature is valid. Only the fields that are set become part of the type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domain {
    name: Option<String>,
    version: Option<String>,
    chain_id: Option<u64>,
    verifying_contract: Option<Address>,
}

impl Field<'_> {
    fn word(&self) -> [u8; 32] {
        match *self {
            Self::String(text) => keccak256(text),
            Self::Bytes(bytes) => keccak256(bytes),
            Self::Bytes32(word) | Self::Uint256(word) => word,
            Self::Address(address) => right_aligned(address.as_bytes()),
            Self::Uint64(number) => right_aligned(&number.to_be_bytes()),
            Self::Bool(yes) => right_aligned(&[u8::from(yes)]),
        }
    }
}

fn right_aligned(bytes: &[u8]) -> [u8; 32] {
    let mut word = [0; 32];
    word[32 - bytes.len()..].copy_from_slice(bytes);
    word
}

impl Domain {
    /// A domain without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With the name of the application.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// With its version.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// With the chain.
    #[must_use]
    pub fn chain_id(mut self, id: u64) -> Self {
        self.chain_id = Some(id);
        self
    }

    /// With the contract that verifies.
    #[must_use]
    pub fn verifying_contract(mut self, contract: Address) -> Self {
        self.verifying_contract = Some(contract);
        self
    }

    /// The hash of the domain: compute it once.
    #[must_use]
    pub fn separator(&self) -> [u8; 32] {
        let fields = [
            self.name.as_deref().map(|name| ("string name", Field::String(name))),
            self.version.as_deref().map(|version| ("string version", Field::String(version))),
            self.chain_id.map(|id| ("uint256 chainId", Field::Uint64(id))),
            self.verifying_contract.map(|contract| ("address verifyingContract", Field::Address(contract))),
        ];
        let (names, values): (Vec<&str>, Vec<Field<'_>>) = fields.into_iter().flatten().unzip();
        hash_struct(&format!("EIP712Domain({})", names.join(",")), &values)
    }
}

/// The hash of a struct: its type as EIP-712 encodes it (`Agent(string source,bytes32 connectionId)`, the types it
/// refers to behind it) and the values of its fields in that order. The caller keeps the two in step.
#[must_use]
pub fn hash_struct(encoded_type: &str, fields: &[Field<'_>]) -> [u8; 32] {
    let mut words = Vec::with_capacity(32 * (1 + fields.len()));
    words.extend(keccak256(encoded_type));
    for field in fields {
        words.extend(field.word());
    }
    keccak256(words)
}

/// What is signed: the struct in its domain.
#[must_use]
pub fn digest(separator: &[u8; 32], struct_hash: &[u8; 32]) -> [u8; 32] {
    let mut bytes = [0; 66];
    bytes[..2].copy_from_slice(&[0x19, 0x01]);
    bytes[2..34].copy_from_slice(separator);
    bytes[34..].copy_from_slice(struct_hash);
    keccak256(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::hex;

    /// The example of the standard itself. Source: EIP-712, "Test cases" (Example.js).
    #[test]
    fn ether_mail() {
        const PERSON: &str = "Person(string name,address wallet)";
        let person = |name, wallet: &str| hash_struct(PERSON, &[Field::String(name), Field::Address(wallet.parse().unwrap())]);
        let domain = Domain::new()
            .name("Ether Mail")
            .version("1")
            .chain_id(1)
            .verifying_contract("0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC".parse().unwrap());
        let mail = hash_struct(
            &format!("Mail(Person from,Person to,string contents){PERSON}"),
            &[
                Field::Bytes32(person("Cow", "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826")),
                Field::Bytes32(person("Bob", "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB")),
                Field::String("Hello, Bob!"),
            ],
        );
        assert_eq!(hex::encode(domain.separator()), "f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f");
        assert_eq!(hex::encode(mail), "c52c0ee5d84264471806290a3f2c4cecfc5490626bf912d01f240d7a274b371e");
        let digest = digest(&domain.separator(), &mail);
        assert_eq!(hex::encode(digest), "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");

        // The key of the example is the hash of "cow".
        let secret = omnivenue_core::model::secret::Secret::new(hex::encode(keccak256("cow")));
        let signature = crate::sign::SigningKey::from_secret(&secret).unwrap().sign_digest(&digest);
        assert_eq!(hex::encode(signature.r), "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d");
        assert_eq!(hex::encode(signature.s), "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562");
        assert_eq!(signature.v, 28);
    }

    #[test]
    fn every_kind_of_field_is_one_word() {
        let mut one = [0; 32];
        one[31] = 1;
        let same = |a: Field<'_>, b: Field<'_>| assert_eq!(hash_struct("T()", &[a]), hash_struct("T()", &[b]));
        same(Field::Bool(true), Field::Uint256(one));
        same(Field::Uint64(1), Field::Bytes32(one));
        same(Field::Bool(false), Field::Uint64(0));
        same(Field::String("x"), Field::Bytes(b"x"));
    }
}
