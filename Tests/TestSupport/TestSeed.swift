import Glibc

/// The first seed of random tests: CONVOY_TEST_SEED, or 1. A failure prints the seed of its case,
/// and that seed gives the case again.
package enum TestSeed {
    package static let base: UInt64 = getenv("CONVOY_TEST_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

    package static func seeds(_ count: Int) -> Range<UInt64> { base..<(base + UInt64(count)) }
}
