/// Piece `index` when 0..<count is cut in order into `pieceCount` pieces.
///
/// Lengths differ by at most one, the longer ones first. This is the one place that cuts records
/// into partitions and epochs into stretches.
func evenCut(count: Int, pieceCount: Int, index: Int) -> Range<Int> {
    let (length, remainder) = count.quotientAndRemainder(dividingBy: pieceCount)
    let start = index * length + min(index, remainder)
    return start..<start + length + (index < remainder ? 1 : 0)
}
