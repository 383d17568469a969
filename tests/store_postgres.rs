#![cfg(all(feature = "testing", feature = "postgres"))]
