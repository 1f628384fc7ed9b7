import CYaml

/// Walks a document event by event and refuses the YAML features that settings files do not use.
/// This happens before any value is built from the document.
///
/// A check while building would come too late. An alias as a key makes the builder hash everything
/// that the alias repeats; a few lines can make that larger than any memory. With many anchors or
/// keys the builder's time grows with the square of their number.
struct StrictEvents {
    /// A list or mapping that is open.
    private enum Container {
        case list(path: String, index: Int)
        /// A mapping. A nil key means that a key comes next.
        case mapping(path: String, key: String?)
    }

    private let fileName: String
    private var containers: [Container] = []
    private var valueCount = 0

    /// Returns the first error in the order of the text, or nil when nothing is refused. Text that
    /// is not YAML at all is left to the parser that builds values.
    static func refusal(of text: String, fileName: String) -> SettingsError? {
        var text = text
        return text.withUTF8 { bytes in
            var parser = yaml_parser_t()
            guard yaml_parser_initialize(&parser) == 1 else { return nil }
            defer { yaml_parser_delete(&parser) }
            yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
            yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)
            var events = StrictEvents(fileName: fileName)
            do throws(SettingsError) { try events.read(&parser) } catch { return error }
            return nil
        }
    }

    private init(fileName: String) { self.fileName = fileName }

    private mutating func read(_ parser: inout yaml_parser_t) throws(SettingsError) {
        while true {
            var event = yaml_event_t()
            guard yaml_parser_parse(&parser, &event) == 1 else { return }
            defer { yaml_event_delete(&event) }
            if event.type == YAML_STREAM_END_EVENT || event.type == YAML_DOCUMENT_END_EVENT {
                return
            }
            try take(event)
        }
    }

    private mutating func take(_ event: yaml_event_t) throws(SettingsError) {
        valueCount += 1
        switch event.type {
        case YAML_ALIAS_EVENT:
            try check(event, anchor: event.data.alias.anchor, tag: nil, isScalar: false)
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            try check(event, anchor: scalar.anchor, tag: scalar.tag, isScalar: true)
            complete(text: scalar.value, byteCount: scalar.length)
        case YAML_SEQUENCE_START_EVENT:
            let start = event.data.sequence_start
            try check(event, anchor: start.anchor, tag: start.tag, isScalar: false)
            containers.append(.list(path: path, index: 0))
        case YAML_MAPPING_START_EVENT:
            let start = event.data.mapping_start
            try check(event, anchor: start.anchor, tag: start.tag, isScalar: false)
            containers.append(.mapping(path: path, key: nil))
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
            containers.removeLast()
            complete(text: nil, byteCount: 0)
        default: break
        }
    }

    private func check(
        _ event: yaml_event_t, anchor: UnsafeMutablePointer<UInt8>?,
        tag: UnsafeMutablePointer<UInt8>?, isScalar: Bool
    ) throws(SettingsError) {
        func refuse(_ problem: String) -> SettingsError {
            let line = Int(event.start_mark.line) + 1
            return SettingsError(fileName: fileName, line: line, path: path, problem: problem)
        }
        if valueCount > StrictDocument.maximumValueCount {
            throw refuse("more than \(StrictDocument.maximumValueCount) keys and values")
        }
        if case .mapping(_, nil)? = containers.last, anchor != nil || !isScalar {
            throw refuse("expected a key of plain text")
        }
        if anchor != nil {
            throw refuse("anchors (&) and aliases (*) are not supported; write the value out")
        }
        if containers.count > StrictDocument.maximumDepth {
            throw refuse(
                "nested too deeply: expected at most \(StrictDocument.maximumDepth) levels")
        }
        if let tag = tag.map({ String(cString: $0) }), tag != "!" {
            throw refuse("tags (\(tag)) are not supported; write the plain value")
        }
    }

    /// The path of the next value. Before a key, it is the path of the key's mapping.
    private var path: String {
        switch containers.last {
        case nil: ""
        case .list(let path, let index): "\(path)[\(index)]"
        case .mapping(let path, nil): path
        case .mapping(let path, let key?): path.isEmpty ? key : "\(path).\(key)"
        }
    }

    /// Records that a value or a key has ended.
    private mutating func complete(text: UnsafeMutablePointer<UInt8>?, byteCount: Int) {
        switch containers.popLast() {
        case nil: break
        case .list(let path, let index): containers.append(.list(path: path, index: index + 1))
        case .mapping(let path, nil):
            let key = UnsafeBufferPointer(start: text, count: byteCount)
            containers.append(.mapping(path: path, key: String(decoding: key, as: UTF8.self)))
        case .mapping(let path, _?): containers.append(.mapping(path: path, key: nil))
        }
    }
}
