/// The reason why something that a run needs cannot be done.
///
/// A program decides by ``kind``, and shows ``text`` to people. A command that ends with an error
/// shows the text too, and ends with the exit code of the kind: see ``Failure``.
public struct RunError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is at fault, and so who can put it right.
    public enum Kind: Hashable, Sendable, CaseIterable {
        /// A flag, an argument or an address on the command line.
        case usage
        /// The settings of a run file or the lines of a cluster file: they are malformed,
        /// contradict one another, or ask for what the data set, this build or this host does not
        /// have.
        case configuration
        /// A data set: it is missing or damaged, is not the data of the run, or does not fit the
        /// model.
        case data
        /// A model: its layers do not fit one another or the data set, or its weights are not as
        /// many as it has parameters.
        case model
        /// A checkpoint or a file of weights: it is damaged, or it belongs to another model or
        /// another run. An older checkpoint may be good.
        case checkpoint
        /// A run directory: it is not one, it is not empty where a new run begins, its records are
        /// damaged, or a newer build wrote it.
        case runDirectory
        /// A file or directory that cannot be read, written or made. Often the disk is full or the
        /// permissions are missing.
        case storage
        /// A model that needs more memory than this host has free.
        case memory
        /// Another process is at work on the run, or holds a file that is needed. Nothing is
        /// damaged.
        case occupied
        /// Keys: they are missing or damaged, do not belong together, or are open to other users.
        case keys
        /// Another host or process cannot do its part. The text gives its reason.
        case host
        /// A loss that is not a finite number: the training diverged.
        case divergence
        /// The cluster is lost, a host or the coordinator is not reached, or another coordinator
        /// has taken the run over.
        case lost
        /// The user asked to stop before the work was done.
        case interrupted
        /// Convoy itself, or a system call that does not fail on a sound host.
        case fault
    }

    /// What is at fault.
    public let kind: Kind
    /// One line for people: what went wrong and where, and where it helps, what was expected, what
    /// was found and what to do.
    public let text: String

    /// Creates an error.
    public init(_ kind: Kind, _ text: String) {
        self.kind = kind
        self.text = text
    }

    /// The line for people.
    public var description: String { text }
}

extension RunError {
    /// Returns an error of kind ``Kind/usage``.
    public static func usage(_ text: String) -> RunError { RunError(.usage, text) }

    /// Returns an error of kind ``Kind/configuration``.
    public static func configuration(_ text: String) -> RunError { RunError(.configuration, text) }

    /// Returns an error of kind ``Kind/data``.
    public static func data(_ text: String) -> RunError { RunError(.data, text) }

    /// Returns an error of kind ``Kind/model``.
    public static func model(_ text: String) -> RunError { RunError(.model, text) }

    /// Returns an error of kind ``Kind/checkpoint``.
    public static func checkpoint(_ text: String) -> RunError { RunError(.checkpoint, text) }

    /// Returns an error of kind ``Kind/runDirectory``.
    public static func runDirectory(_ text: String) -> RunError { RunError(.runDirectory, text) }

    /// Returns an error of kind ``Kind/storage``.
    public static func storage(_ text: String) -> RunError { RunError(.storage, text) }

    /// Returns an error of kind ``Kind/memory``.
    public static func memory(_ text: String) -> RunError { RunError(.memory, text) }

    /// Returns an error of kind ``Kind/occupied``.
    public static func occupied(_ text: String) -> RunError { RunError(.occupied, text) }

    /// Returns an error of kind ``Kind/keys``.
    public static func keys(_ text: String) -> RunError { RunError(.keys, text) }

    /// Returns an error of kind ``Kind/host``.
    public static func host(_ text: String) -> RunError { RunError(.host, text) }

    /// Returns an error of kind ``Kind/divergence``.
    public static func divergence(_ text: String) -> RunError { RunError(.divergence, text) }

    /// Returns an error of kind ``Kind/lost``.
    public static func lost(_ text: String) -> RunError { RunError(.lost, text) }

    /// Returns an error of kind ``Kind/interrupted``.
    public static func interrupted(_ text: String) -> RunError { RunError(.interrupted, text) }

    /// Returns an error of kind ``Kind/fault``.
    public static func fault(_ text: String) -> RunError { RunError(.fault, text) }
}
