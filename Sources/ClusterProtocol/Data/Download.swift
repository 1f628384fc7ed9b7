/// Decides what a worker asks for while it fetches one object: a window of pieces, in order.
///
/// Pieces are taken in order only. After a loss or a restart of the other side all beyond what is
/// here is asked for again, so that memory never holds more than the window.
public struct Download: Hashable, Sendable {
    /// Pieces asked for and not here yet: 2 MiB, enough for 10 Gbit/s at 1.5 ms.
    public static let windowPieceCount = 8
    /// Silence after which it asks again: twice as long each time, so that a busy network is not
    /// made busier.
    public static let retryInterval = Duration.seconds(1)
    public static let maximumRetryInterval = Duration.seconds(16)
    /// Silence after which it gives up.
    public static let patience = Duration.seconds(120)

    public enum Action: Hashable, Sendable {
        case ask(DataHeader)
        /// Append the payload of the piece just received.
        case append
        /// The object is whole.
        case finish
        /// Nothing came for so long.
        case giveUp
        /// The other side says another length than before.
        case contradict(expected: Int, found: Int)
    }

    public let object: DataObject
    /// Bytes that are here.
    public private(set) var offset = 0
    public private(set) var totalByteCount: Int?
    /// The end of what was asked for.
    private var askedEnd = 0
    private var lastAsked: Moment
    private var lastArrival: Moment
    private var retryInterval = Self.retryInterval
    private var isOver = false

    public init(_ object: DataObject, now: Moment) {
        self.object = object
        lastAsked = now
        lastArrival = now
    }

    public mutating func start(now: Moment) -> [Action] { askAgain(now: now) }

    /// Another side answers from now on: asks it for everything beyond what is here.
    public mutating func move(now: Moment) -> [Action] {
        guard !isOver else { return [] }
        retryInterval = Self.retryInterval
        lastArrival = now
        return askAgain(now: now)
    }

    private mutating func askAgain(now: Moment) -> [Action] {
        askedEnd = offset
        return fillWindow(now: now)
    }

    public mutating func receive(_ piece: DataHeader, now: Moment) -> [Action] {
        guard !isOver, piece.kind == .piece, piece.object == object, piece.offset == offset else {
            return []
        }
        if let totalByteCount, totalByteCount != piece.totalByteCount {
            isOver = true
            return [.contradict(expected: totalByteCount, found: piece.totalByteCount)]
        }
        let end = offset + piece.payloadByteCount
        guard end <= piece.totalByteCount,
            piece.payloadByteCount <= DataHeader.maximumPieceByteCount,
            piece.payloadByteCount > 0 || piece.totalByteCount == 0
        else { return [] }
        totalByteCount = piece.totalByteCount
        offset = end
        lastArrival = now
        askedEnd = max(askedEnd, end)
        if end == piece.totalByteCount {
            isOver = true
            return [.append, .finish]
        }
        return [.append] + fillWindow(now: now)
    }

    public mutating func tick(now: Moment) -> [Action] {
        guard !isOver else { return [] }
        if now - lastArrival >= Self.patience {
            isOver = true
            return [.giveUp]
        }
        guard now - max(lastAsked, lastArrival) >= retryInterval else { return [] }
        retryInterval = min(retryInterval * 2, Self.maximumRetryInterval)
        return askAgain(now: now)
    }

    private mutating func fillWindow(now: Moment) -> [Action] {
        let size = DataHeader.maximumPieceByteCount
        // Until the length is known one piece is enough to learn it.
        let window = totalByteCount == nil ? size : size * Self.windowPieceCount
        let end = min(totalByteCount ?? Int.max, offset + window)
        var actions: [Action] = []
        while askedEnd < end {
            let count = min(size, (totalByteCount ?? Int.max) - askedEnd)
            actions.append(.ask(DataHeader(.ask, object, offset: askedEnd, askedByteCount: count)))
            askedEnd += count
        }
        if !actions.isEmpty { lastAsked = now }
        return actions
    }
}
