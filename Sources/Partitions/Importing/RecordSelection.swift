import Checksums

/// Applies the options that choose records and change labels to what a source has found.
///
/// The order is: labels, filter, split, sample. Each step is a function of the records' names and
/// contents, so a record that is added later leaves the fate of the others as it is, but for
/// `stratified`.
struct RecordSelection {
    let specification: DataSpecification
    let threadCount: Int
    private var scan: SourceScan
    private var names: [String]

    private var options: SourceOptions { specification.options }

    /// The steps, in their order.
    enum Step: String, CaseIterable {
        case labels, filter, split, sample
    }

    /// Returns what the options make of a scan.
    ///
    /// - Parameter observe: is called after each step.
    /// - Throws: `badSetting` for an option that names what is not there; `emptySet` when no training
    ///   record is left.
    static func select(
        _ scan: SourceScan, _ specification: DataSpecification, threadCount: Int,
        observe: (Step, SourceScan) -> Void = { _, _ in }
    ) throws(DataError) -> SourceScan {
        var selection = RecordSelection(
            specification: specification, threadCount: threadCount, scan: scan)
        for step in Step.allCases {
            switch step {
            case .labels: try selection.changeLabels()
            case .filter: try selection.filter()
            case .split: try selection.split()
            case .sample: selection.sample()
            }
            observe(step, selection.scan)
        }
        guard selection.scan.training.count > 0 else {
            throw DataError(
                .emptySet, file: "\(specification)", what: "training records that the options keep",
                expected: "at least 1", found: "0",
                advice: "look at data.filter, data.labels, data.split and data.sample")
        }
        return selection.scan
    }

    private init(specification: DataSpecification, threadCount: Int, scan: SourceScan) {
        self.specification = specification
        self.threadCount = threadCount
        self.scan = scan
        let largest = max(scan.training.labels.max() ?? 0, scan.test.labels.max() ?? 0)
        let count = scan.classCount ?? Int(largest) + 1
        names = scan.classNames ?? (0..<count).map { "\($0)" }
        if scan.targetCount == nil { self.scan.classCount = count }
    }

    private func bad(_ key: String, _ what: String, _ expected: String, _ found: String) -> DataError {
        DataError(.badSetting, file: "data.\(key)", what: what, expected: expected, found: found)
    }

    private func requireLabels(_ key: String) throws(DataError) {
        guard scan.targetCount == nil else {
            throw bad(key, "rules about classes", "records with labels", "records with targets")
        }
    }

    /// Throws unless all of these are names of classes.
    private func requireKnown(_ some: [String], _ key: String) throws(DataError) {
        guard let unknown = some.first(where: { !names.contains($0) }) else { return }
        let list = names.prefix(20).joined(separator: ", ") + (names.count > 20 ? ", ..." : "")
        throw bad(key, "name of a class", "one of \(list)", "'\(unknown)'")
    }

    /// Keeps the records that `isKept` says, and gives them new labels.
    private mutating func keep(
        newLabel: ((Int32) -> Int32?)? = nil,
        _ isKept: (any RecordTable, Int) throws(DataError) -> Bool
    ) throws(DataError) {
        func view(_ table: any RecordTable) throws(DataError) -> any RecordTable {
            let labels = table.labels
            var records: [Int] = []
            var changed: [Int32] = []
            for record in 0..<table.count {
                var label: Int32? = labels.isEmpty ? 0 : labels[record]
                if let newLabel, let known = label { label = newLabel(known) }
                guard let label, try isKept(table, record) else { continue }
                records.append(record)
                if !labels.isEmpty { changed.append(label) }
            }
            return RecordView(table, records, labels: changed)
        }
        scan.training = try view(scan.training)
        scan.test = try view(scan.test)
    }

    // MARK: Labels

    private mutating func changeLabels() throws(DataError) {
        let rules = options.labels
        let kept = options.filter.labels
        guard !rules.map.isEmpty || !rules.drop.isEmpty || !kept.isEmpty else { return }
        try requireLabels("labels")
        try requireKnown(rules.map.keys.sorted(), "labels.map")
        try requireKnown(rules.drop, "labels.drop")
        var renamed: [String] = []
        var numbers: [Int32?] = []
        for name in names {
            if rules.drop.contains(name) {
                numbers.append(nil)
                continue
            }
            let new = rules.map[name] ?? name
            if !renamed.contains(new) { renamed.append(new) }
            numbers.append(Int32(renamed.firstIndex(of: new)!))
        }
        names = renamed
        if !kept.isEmpty {
            try requireKnown(kept, "filter.labels")
            let left = renamed.filter(kept.contains)
            numbers = numbers.map { number in
                number.flatMap { left.firstIndex(of: renamed[Int($0)]) }.map(Int32.init)
            }
            names = left
        }
        try keep(newLabel: { numbers[Int($0)] }, { _, _ in true })
        scan.classNames = names
        scan.classCount = names.count
    }

    // MARK: Filter

    private mutating func filter() throws(DataError) {
        let filter = options.filter
        if filter.minimumHeight > 0 || filter.minimumWidth > 0 {
            func isLarge(_ table: any RecordTable) throws(DataError) -> [Bool] {
                try Parallel.map(
                    table.count, threadCount: threadCount, { table.reader() },
                    { (reader, record) throws(DataError) in
                        guard let size = try reader.originalSize(record) else {
                            throw DataError(
                                .badSetting, file: "data.filter.min-size", what: "size of the records",
                                expected: "pictures", found: "records of one shape")
                        }
                        return size.height >= filter.minimumHeight && size.width >= filter.minimumWidth
                    })
            }
            let (training, test) = (try isLarge(scan.training), try isLarge(scan.test))
            let trainingTable = scan.training
            try keep { table, record in (table === trainingTable ? training : test)[record] }
        }
        if filter.isUnique {
            var known: Set<[UInt8]> = []
            var isFirst: [[Bool]] = []
            for table in [scan.training, scan.test] {
                isFirst.append(try digests(table).map { known.insert($0).inserted })
            }
            let trainingTable = scan.training
            try keep { table, record in isFirst[table === trainingTable ? 0 : 1][record] }
        }
    }

    /// Returns the digest of each record.
    private func digests(_ table: any RecordTable) throws(DataError) -> [[UInt8]] {
        let byteCount = scan.recordByteCount
        return try Parallel.map(
            table.count, threadCount: threadCount,
            { (table.reader(), [UInt8](repeating: 0, count: byteCount)) },
            { (memory, record) throws(DataError) in
                if let digest = try memory.0.digest(record) { return digest }
                var failure: DataError?
                memory.1.withUnsafeMutableBytes { bytes in
                    guard let start = bytes.baseAddress else { return }
                    do throws(DataError) { try memory.0.read(record, into: start) } catch {
                        failure = error
                    }
                }
                // The digest of a record that cannot be decoded is that of its name: the import will
                // come upon it again.
                guard failure == nil else { return SHA256.hash(data: Array(table.name(record).utf8)) }
                return SHA256.hash(data: memory.1)
            })
    }

    // MARK: Split and sample

    private mutating func split() throws(DataError) {
        guard let rule = options.split else { return }
        guard scan.test.count == 0 else {
            throw bad(
                "split", "test records", "a source without test records of its own",
                "\(scan.test.count) of them")
        }
        let table = scan.training
        if rule.by == .hash || rule.by == .stratified, table.count > 0, table.interval(0) != nil {
            // Windows that overlap would be on both sides.
            throw bad("split", "split of windows", "by: series or by: time", rule.canonicalText)
        }
        var isTest: [Bool?]
        switch rule.by {
        case .hash:
            isTest = try digests(table).map {
                RecordHash.isAmong(RecordHash.number($0), first: rule.test)
            }
        case .stratified:
            try requireLabels("split")
            isTest = try stratified(table, rule.test)
        case .group(let pattern): isTest = try grouped(table, pattern, rule.test)
        case .series:
            isTest = (0..<table.count).map {
                RecordHash.isAmong(RecordHash.hash(table.group($0)), first: rule.test)
            }
        case .time: isTest = try byTime(table, rule.test)
        }
        let all = isTest
        scan.test = RecordView(table, all.indices.filter { all[$0] == true })
        scan.training = RecordView(table, all.indices.filter { all[$0] == false })
        guard scan.test.count > 0 else {
            throw bad(
                "split", "share of test records", "enough for at least 1 of \(table.count) records",
                "\(rule.test)")
        }
    }

    /// In each class the records with the smallest digests are test records: the share of the class,
    /// rounded.
    private func stratified(_ table: any RecordTable, _ share: Double) throws(DataError) -> [Bool?] {
        let keys = try digests(table).map(RecordHash.number)
        let labels = table.labels
        var isTest = [Bool?](repeating: false, count: table.count)
        for label in Set(labels).sorted() {
            let members = keys.indices.filter { labels[$0] == label }
                .sorted { (keys[$0], $0) < (keys[$1], $1) }
            let count = Int((Double(members.count) * share).rounded())
            for record in members.prefix(count) { isTest[record] = true }
        }
        return isTest
    }

    private func grouped(
        _ table: any RecordTable, _ pattern: String, _ share: Double
    ) throws(DataError) -> [Bool?] {
        guard let regex = try? Regex(pattern) else {
            throw bad("split.group", "pattern", "a regular expression", "'\(pattern)'")
        }
        var groups: Set<String> = []
        var isTest: [Bool?] = []
        for record in 0..<table.count {
            let name = table.name(record)
            guard let match = try? regex.firstMatch(in: name), match.output.count > 1,
                let group = match.output[1].substring
            else {
                throw bad(
                    "split.group", "pattern '\(pattern)'",
                    "one group that matches in the name of every record", "none in '\(name)'")
            }
            groups.insert(String(group))
            isTest.append(RecordHash.isAmong(RecordHash.hash(String(group)), first: share))
        }
        guard groups.count > 1 else {
            throw bad(
                "split.group", "pattern '\(pattern)'", "at least 2 groups",
                "one, '\(groups.first ?? "")'")
        }
        return isTest
    }

    private func byTime(_ table: any RecordTable, _ share: Double) throws(DataError) -> [Bool?] {
        var ends: [String: Range<Int>] = [:]
        for record in 0..<table.count {
            guard let rows = table.interval(record) else {
                throw bad("split", "split by time", "windows of series", "records that are whole")
            }
            let group = table.group(record)
            let known = ends[group] ?? rows
            ends[group] = min(known.lowerBound, rows.lowerBound)..<max(known.upperBound, rows.upperBound)
        }
        let cuts = ends.mapValues { rows in
            rows.upperBound - Int((Double(rows.count) * share).rounded())
        }
        return (0..<table.count).map { record in
            let (rows, cut) = (table.interval(record)!, cuts[table.group(record)]!)
            return rows.upperBound <= cut ? false : rows.lowerBound >= cut ? true : nil
        }
    }

    private mutating func sample() {
        guard options.sample < 1 else { return }
        let table = scan.training
        scan.training = RecordView(
            table,
            (0..<table.count).filter {
                // The hash of the name is also the order of spreading, so another one decides here.
                RecordHash.isAmong(RecordHash.hash("sample \(table.name($0))"), first: options.sample)
            })
    }
}

extension SourceScan {
    /// The number of bytes of a stored record.
    var recordByteCount: Int { shape.reduce(1, *) * elementType.byteCount }
}
