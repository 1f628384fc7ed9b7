import Buffers
import ClusterProtocol
import ZeroMQ

/// The processes of this host with which one thread exchanges floats through shared memory.
///
/// A neighbour is told where floats lie by a record in its pipe. When it has no pipe, or the pipe
/// is full, a short message tells it. All other peers are sent the floats themselves.
///
/// Threading: one thread only.
struct HostNeighbours<Peer: Hashable> {
    private let identity: PeerIdentity
    /// The kind of the messages that neighbours send.
    private let kind: BulkKind
    private let meter: SocketMeter
    private let pipedCount: SocketMeter.Count
    /// Whether the run lets processes share memory at all.
    private var isSharing = false
    /// The pipe through which neighbours tell of floats in their memory; nil where the system gives
    /// no pipe.
    private var inbox: PipeInbox?
    private var outlets = PipeOutlets()
    private var windows = SharedWindows()
    /// The neighbours, which read this process's memory, and the pipe of each; nil for one without
    /// a pipe.
    private var readers: [Peer: SharedPayload.Memory?] = [:]
    /// The peers whose memory could not be read.
    private var strangers: Set<Peer> = []

    /// Creates an empty set of neighbours that admits no peer before `open` is called.
    ///
    /// - Parameters:
    ///   - identity: the identity of this process, which its records carry.
    ///   - kind: the kind of the messages that neighbours send.
    ///   - meter: counts what goes through pipes, as the messages that it replaces.
    ///   - pipedCount: counts the records that come through the pipe.
    init(
        of identity: PeerIdentity, sending kind: BulkKind, meter: SocketMeter,
        pipedCount: SocketMeter.Count
    ) {
        self.identity = identity
        self.kind = kind
        self.meter = meter
        self.pipedCount = pipedCount
    }

    // MARK: Who

    /// Allows neighbours from now on, and opens the pipe for them.
    mutating func open() {
        isSharing = true
        inbox = PipeInbox(for: kind)
    }

    /// Forgets all peers, admits no more and closes the pipe.
    mutating func close() {
        forget()
        isSharing = false
        inbox?.close()
    }

    /// Forgets every peer: the neighbours, and those whose memory could not be read.
    mutating func forget() {
        readers = [:]
        strangers = []
    }

    /// Whether there are no neighbours.
    var isEmpty: Bool { readers.isEmpty }

    /// Whether a peer is a neighbour.
    func contains(_ peer: Peer) -> Bool { readers[peer] != nil }

    /// Whether to believe a peer that claims to be on this host: sharing is allowed, and no copy
    /// from its memory has failed.
    func mayAdmit(_ peer: Peer) -> Bool { isSharing && !strangers.contains(peer) }

    /// Makes a peer a neighbour, unless `mayAdmit` forbids it or there are too many neighbours.
    ///
    /// - Parameter pipe: the peer's pipe, if it has one.
    mutating func admit(_ peer: Peer, pipe: SharedPayload.Memory?) {
        guard mayAdmit(peer), contains(peer) || readers.count < Self.bound else { return }
        readers[peer] = .some(pipe)
    }

    /// Makes a neighbour an ordinary peer, which is sent floats in messages.
    mutating func dismiss(_ peer: Peer) { readers[peer] = nil }

    private static var bound: Int { ShardMachine.maximumSubscriberCount }

    // MARK: What they are told

    /// Returns the frames that bring floats to a peer; nil when the peer has been told through its
    /// pipe.
    ///
    /// - Parameters:
    ///   - place: the place of the floats; nil where other processes cannot read it.
    ///   - whole: returns frames that contain the floats.
    mutating func frames(
        telling peer: Peer, _ header: BulkHeader, _ precision: WirePrecision,
        place: @autoclosure () -> SharedPayload?, whole: () -> [Frame]
    ) -> [Frame]? {
        guard let pipe = readers[peer], let place = place() else { return whole() }
        if let pipe, outlets.send(header, place, precision, from: identity, to: pipe) {
            meter.sent.add(PipeRecord.messageByteCount)
            return nil
        }
        return BulkMessage.frames(header, shared: place, precision)
    }

    // MARK: What they tell

    /// The pipe that neighbours write to, as they are told of it; nil without a pipe.
    var place: SharedPayload.Memory? { inbox?.place }

    /// The item with which a poll set waits for the pipe; nil without a pipe.
    var pollItem: PollItem? { inbox?.pollItem }

    /// Returns the records that came through the pipe, and whether the pipe has ended with them.
    mutating func receive() -> PipeInbox.Received {
        guard let received = inbox?.receive() else { return PipeInbox.Received() }
        meter.received.add(received.records.count * PipeRecord.messageByteCount)
        pipedCount.add(received.records.count)
        return received
    }

    /// Copies floats out of a peer's memory.
    ///
    /// A peer whose memory cannot be read stops being a neighbour. It notices this because it is
    /// sent floats in messages, and then sends its own floats in messages too.
    mutating func copy(
        _ place: SharedPayload, of peer: Peer, to target: FloatBuffer, at element: Int = 0,
        byteCount: Int
    ) -> SharedWindows.Outcome {
        let outcome = windows.copy(place, to: target, at: element, byteCount: byteCount)
        if outcome == .unavailable {
            dismiss(peer)
            if strangers.count < Self.bound { strangers.insert(peer) }
        }
        return outcome
    }
}
