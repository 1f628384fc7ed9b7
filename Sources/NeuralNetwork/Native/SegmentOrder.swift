/// The segments of a network and the order in which they run.
///
/// A *stretch* holds the segments between two points that need the whole microbatch. Its segments run
/// one after another on each tile, or on each group of tiles where one of them is wide. All tiles run
/// through a stretch before the next one begins; through the last one they run forward and back.
struct SegmentOrder {
    /// The stretches, in order.
    let stretches: [Range<Int>]
    private let wideSegments: Set<Int>
    /// The stretch of each segment.
    private let homes: [Int]

    /// Creates the order of some segments.
    ///
    /// - Parameters:
    ///   - count: the number of segments.
    ///   - ends: the segments after which the whole microbatch is needed.
    ///   - wide: the segments whose stages each run on a group of tiles before the next one does.
    init(count: Int, ends: Set<Int>, wide: Set<Int>) {
        var stretches: [Range<Int>] = []
        var begin = 0
        for segment in 0..<count where ends.contains(segment) || segment == count - 1 {
            stretches.append(begin..<segment + 1)
            begin = segment + 1
        }
        self.stretches = stretches
        wideSegments = wide
        homes = stretches.indices.flatMap { stretch in stretches[stretch].map { _ in stretch } }
    }

    /// Returns whether the stages of a segment run on groups of tiles.
    func isWide(_ segment: Int) -> Bool { wideSegments.contains(segment) }

    /// Returns the number of tiles that a stretch runs on together.
    func groupSize(of stretch: Range<Int>) -> Int {
        stretch.contains(where: isWide) ? NativeMemory.groupSize : 1
    }

    /// Returns the tiles that need memory of their own for a value that is made in a segment and read
    /// in the backward pass.
    func slots(madeIn segment: Int) -> TileSlots {
        slots(of: homes[segment], isReadLater: homes[segment] < stretches.count - 1)
    }

    /// Returns the tiles that need memory of their own for a gradient.
    func slots(madeIn segment: Int, readIn floor: Int) -> TileSlots {
        slots(of: homes[segment], isReadLater: homes[floor] < homes[segment])
    }

    private func slots(of stretch: Int, isReadLater: Bool) -> TileSlots {
        isReadLater ? .every : groupSize(of: stretches[stretch]) > 1 ? .group : .one
    }
}
