/// Returns piece `index` of 0..<`count` cut in order into `pieceCount` pieces.
///
/// The lengths differ by at most one, and the longer pieces come first. This is the one function
/// that cuts records into partitions and epochs into stretches.
func evenCut(count: Int, pieceCount: Int, index: Int) -> Range<Int> {
    let (length, remainder) = count.quotientAndRemainder(dividingBy: pieceCount)
    let start = index * length + min(index, remainder)
    return start..<start + length + (index < remainder ? 1 : 0)
}
