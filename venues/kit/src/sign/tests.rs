use k256::elliptic_curve::PrimeField;
use omnivenue_core::model::secret::Secret;
use proptest::prelude::*;
use serde_json::Value;

use super::eip712::{self, Domain, Field};
use super::{Address, KeyError, Signature, SigningKey, hex, keccak256, recover};

const KEY: &str = "0x0123456789012345678901234567890123456789012345678901234567890123";

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} of {value}"))
}

fn word(value: &Value, path: &str) -> [u8; 32] {
    hex::decode_array(text(value, path)).unwrap()
}

/// The type and the values of a user-signed action, as the fixture lists them.
fn struct_of(inputs: &Value) -> [u8; 32] {
    let types = inputs["types"].as_array().unwrap();
    let members: Vec<String> = types.iter().map(|field| format!("{} {}", text(field, "/type"), text(field, "/name"))).collect();
    let encoded = format!("{}({})", text(inputs, "/primary_type"), members.join(","));
    let values: Vec<Field<'_>> = types
        .iter()
        .map(|field| {
            let value = &inputs["action"][text(field, "/name")];
            match text(field, "/type") {
                "string" => Field::String(value.as_str().unwrap()),
                "address" => Field::Address(value.as_str().unwrap().parse().unwrap()),
                "uint64" => Field::Uint64(value.as_u64().unwrap()),
                "bool" => Field::Bool(value.as_bool().unwrap()),
                other => panic!("{other}"),
            }
        })
        .collect();
    eip712::hash_struct(&encoded, &values)
}

#[test]
fn keccak_is_the_original_and_not_sha3() {
    let check = |text: &str, expected: &str| assert_eq!(hex::encode(keccak256(text)), expected);
    check("", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    check("abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
}

#[test]
fn every_signature_is_that_of_the_venues_own_clients() {
    let fixture: Value = serde_json::from_str(include_str!("../../fixtures/hyperliquid_signatures.json")).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    for case in cases {
        let (name, inputs, expected) = (text(case, "/name"), &case["inputs"], &case["expected"]);
        let nobody = Address::new([0; 20]);
        let (domain, hash) = if text(case, "/kind") == "l1" {
            let fields =
                [Field::String(text(expected, "/phantom_agent_source")), Field::Bytes32(word(expected, "/action_hash_connection_id"))];
            let domain = Domain::new().name("Exchange").version("1").chain_id(1337).verifying_contract(nobody);
            (domain, eip712::hash_struct("Agent(string source,bytes32 connectionId)", &fields))
        } else {
            let chain = u64::from_str_radix(text(inputs, "/action/signatureChainId").trim_start_matches("0x"), 16).unwrap();
            let domain = Domain::new().name("HyperliquidSignTransaction").version("1").chain_id(chain).verifying_contract(nobody);
            (domain, struct_of(inputs))
        };
        assert_eq!(domain.separator(), word(expected, "/domain_separator"), "{name}");
        assert_eq!(hash, word(expected, "/struct_hash"), "{name}");
        let digest = eip712::digest(&domain.separator(), &hash);
        assert_eq!(digest, word(expected, "/digest"), "{name}");

        let key = SigningKey::from_secret(&Secret::new(text(inputs, "/private_key"))).unwrap();
        assert_eq!(key.address(), text(inputs, "/signer_address").parse().unwrap(), "{name}");
        let signature = key.sign_digest(&digest);
        assert_eq!(signature.r, word(expected, "/signature/r"), "{name}");
        assert_eq!(signature.s, word(expected, "/signature/s"), "{name}");
        assert_eq!(u64::from(signature.v), expected["signature"]["v"].as_u64().unwrap(), "{name}");
        assert_eq!(recover(&digest, &signature), Some(key.address()), "{name}");
    }
    assert_eq!(cases.len(), 32);
}

#[test]
fn what_is_no_key_is_refused_without_being_shown() {
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let check = |secret: &str, expected: fn(&KeyError) -> bool| {
        let error = SigningKey::from_secret(&Secret::new(secret)).unwrap_err();
        assert!(expected(&error), "{error:?}");
        assert!(secret.len() < 8 || !format!("{error} {error:?}").contains(&secret[..8]), "{error:?}");
    };
    check("", |e| matches!(e, KeyError::NotHex(_)));
    check("my secret phrase of some length", |e| matches!(e, KeyError::NotHex(_)));
    check(&KEY[..64], |e| matches!(e, KeyError::NotHex(_)));
    check(&"0".repeat(64), |e| matches!(e, KeyError::OutOfRange));
    check(order, |e| matches!(e, KeyError::OutOfRange));
    check(&"f".repeat(64), |e| matches!(e, KeyError::OutOfRange));
}

#[test]
fn a_key_shows_its_address_only() {
    let key = SigningKey::from_secret(&Secret::new(format!(" {KEY}\n"))).unwrap();
    assert_eq!(format!("{key:?} {key:#?}"), format!("SigningKey({0}) SigningKey({0})", key.address()));
}

/// The other signature that elliptic curves allow for every signature.
fn mirrored(signature: &Signature) -> Signature {
    let s = k256::Scalar::from_repr(signature.s.into()).expect("s is below the order");
    Signature { r: signature.r, s: (-s).to_repr().into(), v: 55 - signature.v }
}

#[test]
fn only_one_form_of_a_signature_is_taken() {
    let key = SigningKey::from_secret(&Secret::new(KEY)).unwrap();
    let digest = keccak256("order");
    let good = key.sign_digest(&digest);
    assert_eq!(recover(&digest, &good), Some(key.address()));
    assert_eq!(mirrored(&mirrored(&good)), good);
    assert_eq!(recover(&digest, &mirrored(&good)), None, "s in the upper half");
    for v in (0..=255).filter(|v| *v != good.v) {
        assert_ne!(recover(&digest, &Signature { v, ..good }), Some(key.address()), "{v}");
    }
    assert_eq!(recover(&digest, &Signature { r: [0; 32], ..good }), None);
    assert_eq!(recover(&digest, &Signature { s: [0; 32], ..good }), None);
    assert_eq!(recover(&digest, &Signature { r: [0xff; 32], ..good }), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whoever_signed_is_found(secret in any::<[u8; 32]>(), digest in any::<[u8; 32]>(), flip in 0_usize..256) {
        let Ok(key) = SigningKey::from_secret(&Secret::new(hex::encode(secret))) else { return Ok(()) };
        let signature = key.sign_digest(&digest);
        prop_assert_eq!(key.sign_digest(&digest), signature);
        prop_assert!(signature.s[0] < 0x80 && matches!(signature.v, 27 | 28));
        prop_assert_eq!(recover(&digest, &signature), Some(key.address()));
        let mut other = digest;
        other[flip / 8] ^= 1 << (flip % 8);
        prop_assert_ne!(recover(&other, &signature), Some(key.address()));
    }
}
