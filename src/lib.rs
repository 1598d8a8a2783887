//! omnivenue
