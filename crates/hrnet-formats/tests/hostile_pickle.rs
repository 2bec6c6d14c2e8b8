//! Checks A1 and A2: pickles that would run code, files that lie about their structure. Every one ends in
//! a typed error, on a 512 KiB stack, with bounded memory. The payloads are our own; nothing here is ever unpickled.

mod common;

use common::alloc::{Counting, peak};
use common::{
    Asm, LEGACY_MAGIC, SPARE, floats, legacy, legacy_facts, legacy_keys, one_tensor, refused, torch_zip,
};
use hrnet_formats::file::ReadError;
use hrnet_formats::pickle::{self, PickleError};
use hrnet_formats::pth::PthError;
use hrnet_formats::{FileKind, Limits, LoadError, pth};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn pickle_error(error: &LoadError) -> Option<&PickleError> {
    match error {
        LoadError::Pth(PthError::Pickle(error)) => Some(error),
        _ => None,
    }
}

/// One stream in every place where a loader runs a pickle: zip, the legacy object, the legacy facts, the legacy key list.
fn entries(stream: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let head = |protocol: bool| {
        let mut file = LEGACY_MAGIC.to_vec();
        if protocol {
            file.extend(Asm::new().op(b'M').raw(&1001u16.to_le_bytes()).stop());
        }
        file
    };
    let object = Asm::new().ordered_dict().stop();
    vec![
        ("zip", torch_zip(stream, &[])),
        ("legacy object", legacy(stream, &[])),
        ("legacy protocol", [head(false), stream.to_vec()].concat()),
        ("legacy facts", [head(true), stream.to_vec(), object.clone(), legacy_keys(&[])].concat()),
        ("legacy keys", [head(true), legacy_facts(), object, stream.to_vec()].concat()),
    ]
}

/// What a malicious stream would call, with a harmless-looking argument.
const CALLS: [(&str, &str); 96] = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("os", "popen"),
    ("os", "execv"),
    ("os", "remove"),
    ("posix", "execve"),
    ("subprocess", "Popen"),
    ("subprocess", "run"),
    ("subprocess", "check_output"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "compile"),
    ("builtins", "open"),
    ("builtins", "getattr"),
    ("builtins", "setattr"),
    ("builtins", "__import__"),
    ("builtins", "breakpoint"),
    ("builtins", "input"),
    ("builtins", "map"),
    ("__builtin__", "eval"),
    ("__builtin__", "execfile"),
    ("__builtin__", "getattr"),
    ("__builtin__", "apply"),
    ("__builtin__", "object"),
    ("runpy", "_run_code"),
    ("runpy", "run_path"),
    ("importlib", "import_module"),
    ("importlib._bootstrap", "_load"),
    ("imp", "load_source"),
    ("ctypes", "CDLL"),
    ("_ctypes", "dlopen"),
    ("socket", "create_connection"),
    ("webbrowser", "open"),
    ("urllib.request", "urlopen"),
    ("http.client", "HTTPSConnection"),
    ("requests.api", "get"),
    ("pip", "main"),
    ("pip._internal.cli.main", "main"),
    ("ensurepip", "_run_pip"),
    ("idlelib.run", "Executive"),
    ("pydoc", "pipepager"),
    ("pdb", "run"),
    ("bdb", "Bdb"),
    ("cProfile", "run"),
    ("profile", "Profile.run"),
    ("timeit", "timeit"),
    ("trace", "Trace"),
    ("doctest", "debug_script"),
    ("code", "InteractiveInterpreter.runcode"),
    ("codeop", "compile_command"),
    ("pty", "spawn"),
    ("shutil", "rmtree"),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    ("multiprocessing.util", "spawnv_passfds"),
    ("distutils.file_util", "write_file"),
    ("lib2to3.pgen2.grammar", "Grammar.loads"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("_operator", "attrgetter"),
    ("functools", "partial"),
    ("functools", "reduce"),
    ("types", "FunctionType"),
    ("types", "CodeType"),
    ("marshal", "loads"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("pickle", "_load"),
    ("dill._dill", "_create_function"),
    ("cloudpickle.cloudpickle", "_make_function"),
    ("joblib.numpy_pickle", "load"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("copyreg", "__newobj__"),
    ("torch", "load"),
    ("torch.serialization", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.hub", "load"),
    ("torch.hub", "download_url_to_file"),
    ("torch.jit", "load"),
    ("torch.jit.unsupported_tensor_ops", "execWrapper"),
    ("torch.utils.cpp_extension", "load"),
    ("torch.utils._config_module", "load_config"),
    ("torch.utils.collect_env", "run"),
    ("torch.nn.modules.module", "Module"),
    ("torch._utils", "_rebuild_sparse_tensor"),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"),
    ("torch._dynamo.guards", "GuardBuilder.get"),
    ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.testing", "runstring"),
    ("numpy.f2py.crackfortran", "myeval"),
    ("numpy", "load"),
    ("numpy.core.multiarray", "frombuffer"),
    ("mmengine.config", "Config.fromfile"),
    ("yaml", "unsafe_load"),
];

/// Names that resemble allowed ones.
const LOOKALIKES: [(&str, &str); 22] = [
    ("collections", "OrderedDict.__init__"),
    ("collections", "OrderedDict.__reduce__.__globals__"),
    ("collections.OrderedDict", "__reduce__"),
    ("collections ", "OrderedDict"),
    ("collections\r", "OrderedDict"),
    (" collections", "OrderedDict"),
    ("Collections", "OrderedDict"),
    ("сollections", "OrderedDict"), // Cyrillic es
    ("collections", "ОrderedDict"), // Cyrillic o
    ("collections", "OrderedDict\u{200b}"),
    ("collections", "ordereddict"),
    ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ("torch._utils", "_rebuild_tensor_v4"),
    ("torch._utils", "ｒebuild_tensor"),
    ("torch_utils", "_rebuild_tensor_v2"),
    ("torch", "_utils._rebuild_tensor_v2"),
    ("torch", "FloatStorage.from_file"),
    ("torch", "FloatStorage.__class__"),
    ("torch", "ComplexFloatStorage"),
    ("numpy", "dtype.__class__"),
    ("", ""),
    ("__main__", "OrderedDict"),
];

#[test]
fn a1_every_dangerous_name_is_refused_by_name() {
    type Make = fn(&str, &str) -> Vec<u8>;
    let shapes: [(&str, Make); 7] = [
        ("REDUCE", |m, n| Asm::new().global(m, n).mark().text("id").tuple().reduce().stop()),
        ("STACK_GLOBAL", |m, n| Asm::new().stack_global(m, n).text("id").op(0x85).reduce().stop()),
        ("STACK_GLOBAL from the memo", |m, n| {
            let text = Asm::new().text(n).put(0).op(b'0').text(m).get(0);
            text.op(0x93).text("id").op(0x85).reduce().stop()
        }),
        ("NEWOBJ", |m, n| Asm::new().global(m, n).op(b')').op(0x81).stop()),
        ("inside a state dict", |m, n| {
            Asm::dict_of(Asm::default().global(m, n).text("id").op(0x85).reduce())
        }),
        ("as a storage class", |m, n| {
            let id = Asm::new().mark().text("storage").global(m, n);
            id.text("0").text("cpu").int(4).tuple().op(b'Q').stop()
        }),
        ("unused on the stack", |m, n| Asm::new().global(m, n).op(b'0').ordered_dict().stop()),
    ];
    for (module, name) in CALLS.iter().chain(&LOOKALIKES) {
        for (shape, make) in shapes {
            let stream = make(module, name);
            for (place, file) in entries(&stream) {
                let what = format!("{module:?}.{name:?} by {shape} in {place}");
                let error = refused(&what, file);
                match pickle_error(&error) {
                    Some(PickleError::GlobalRefused { module: m, name: n, advice, .. }) => {
                        assert_eq!((m.as_str(), n.as_str()), (*module, *name), "{what}");
                        assert!(!advice.is_empty());
                    }
                    _ => panic!("{what}: {error}"),
                }
            }
            // A bare pickle is not a weight file at all.
            let error = refused("bare", stream);
            assert!(matches!(error, LoadError::NotWeights { kind: FileKind::BarePickle }), "{error}");
        }
    }
}

#[test]
fn a1_opcodes_that_only_attacks_need_are_refused() {
    let with = |asm: Asm| asm.stop();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("INST", with(Asm::new().mark().text("id").raw(b"ios\nsystem\n"))),
        ("OBJ", with(Asm::new().mark().global("collections", "OrderedDict").op(b'o'))),
        ("NEWOBJ_EX", with(Asm::new().global("collections", "OrderedDict").op(b')').op(b'}').op(0x92))),
        ("EXT1", with(Asm::new().raw(&[0x82, 1]))),
        ("EXT2", with(Asm::new().raw(&[0x83, 1, 0]))),
        ("EXT4", with(Asm::new().raw(&[0x84, 1, 0, 0, 0]))),
        ("PERSID", with(Asm::new().raw(b"Pos.system\n"))),
        ("DUP", with(Asm::new().op(b'N').op(b'2'))),
        ("GET", with(Asm::new().raw(b"N").raw(b"p0\ng0\n"))),
        ("STRING", with(Asm::new().raw(b"S'id'\n"))),
        ("UNICODE", with(Asm::new().raw(b"Vid\n"))),
        ("INT", with(Asm::new().raw(b"I1\n"))),
        ("LONG", with(Asm::new().raw(b"L1L\n"))),
        ("FLOAT", with(Asm::new().raw(b"F1.0\n"))),
        ("LIST", with(Asm::new().mark().op(b'l'))),
        ("DICT", with(Asm::new().mark().op(b'd'))),
        ("NEXT_BUFFER", with(Asm::new().op(0x97))),
        ("READONLY_BUFFER", with(Asm::new().op(0x98))),
        ("unknown", with(Asm::new().op(0xFF))),
        ("unknown", with(Asm::new().op(0x00))),
    ];
    for (opcode, stream) in cases {
        for (place, file) in entries(&stream) {
            let error = refused(opcode, file);
            let refused = matches!(pickle_error(&error), Some(PickleError::OpcodeRefused { .. }));
            assert!(refused, "{opcode} in {place}: {error}");
        }
    }
}

#[test]
fn a1_allowed_names_do_nothing_when_misused() {
    let dict = || Asm::new().ordered_dict();
    let reduce = |callee: Asm| callee.op(b')').reduce().stop();
    let tensor = || Asm::default().tensor("0", 4, 0, &[4], &[1]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("REDUCE of a dictionary", reduce(dict())),
        ("REDUCE of text", reduce(Asm::new().text("os.system"))),
        ("REDUCE of an integer", reduce(Asm::new().int(1))),
        ("REDUCE of a storage", reduce(Asm::new().storage("torch.FloatStorage", "0", 4))),
        ("REDUCE of a storage class", reduce(Asm::new().global("torch", "FloatStorage"))),
        ("REDUCE of a dtype", reduce(Asm::new().global("torch", "float32"))),
        ("REDUCE of a tensor", reduce(Asm::new().raw(&tensor().0))),
        ("REDUCE of Namespace", reduce(Asm::new().global("argparse", "Namespace"))),
        ("REDUCE without a tuple", Asm::new().global("collections", "OrderedDict").text("x").reduce().stop()),
        ("NEWOBJ of OrderedDict", Asm::new().global("collections", "OrderedDict").op(b')').op(0x81).stop()),
        ("NEWOBJ of text", Asm::new().text("os").op(b')').op(0x81).stop()),
        ("NEWOBJ with arguments", Asm::new().global("argparse", "Namespace").int(1).op(0x85).op(0x81).stop()),
        ("BUILD on text", Asm::new().text("x").op(b'}').op(b'b').stop()),
        ("BUILD on a class", Asm::new().global("collections", "OrderedDict").op(b'}').op(b'b').stop()),
        ("BUILD on a tensor", Asm::new().raw(&tensor().0).op(b'}').op(b'b').stop()),
        ("BUILD on a storage", Asm::new().storage("torch.FloatStorage", "0", 4).op(b'}').op(b'b').stop()),
        ("BUILD with text", dict().text("x").op(b'b').stop()),
        ("STACK_GLOBAL of integers", Asm::new().int(1).int(2).op(0x93).stop()),
        ("STACK_GLOBAL of a class", Asm::new().global("torch", "Size").text("x").op(0x93).stop()),
        (
            "OrderedDict of text",
            Asm::new().global("collections", "OrderedDict").text("x").op(0x85).reduce().stop(),
        ),
        ("BINPERSID of text", Asm::new().text("os.system('id')").op(b'Q').stop()),
        ("BINPERSID of a module", {
            let id = Asm::new().mark().text("module").global("collections", "OrderedDict");
            id.text("file.py").text("import os").tuple().op(b'Q').stop()
        }),
        ("BINPERSID with another tag", {
            let id = Asm::new().mark().text("storage2").global("torch", "FloatStorage");
            id.text("0").text("cpu").int(4).tuple().op(b'Q').stop()
        }),
        ("BINPERSID with a function", {
            let id = Asm::new().mark().text("storage").global("torch._utils", "_rebuild_tensor");
            id.text("0").text("cpu").int(4).tuple().op(b'Q').stop()
        }),
        ("_rebuild_parameter of text", {
            Asm::new().global("torch._utils", "_rebuild_parameter").text("x").op(0x85).reduce().stop()
        }),
    ];
    for (name, stream) in cases {
        for place in [torch_zip(&stream, &[("0", &[0; 16])]), legacy(&stream, &[("0", 4, &[0; 16])])] {
            let error = refused(name, place);
            let typed = matches!(
                pickle_error(&error),
                Some(PickleError::Operand { .. } | PickleError::GlobalRefused { .. })
            );
            assert!(typed, "{name}: {error}");
        }
    }
}

/// Whatever numpy, date or set objects hold is dropped unread: the file loads no further than its missing trunk.
#[test]
fn a1_inert_objects_stay_inert() {
    let inert = [
        Asm::default().global("_codecs", "encode").text("x").text("latin1").op(0x86).reduce(),
        Asm::default().global("numpy.core.multiarray", "scalar").op(b')').reduce(),
        Asm::default().global("datetime", "datetime").text("x").op(0x85).reduce(),
        Asm::default().global("__builtin__", "set").op(b']').op(0x85).reduce(),
        Asm::default().global("argparse", "Namespace").op(b')').op(0x81).op(b'}').op(b'b'),
        Asm::default().global("torch", "device").text("cuda").op(0x85).reduce(),
    ];
    for value in inert {
        let stream = Asm::dict_of(value);
        let pickle = pickle::run(&stream, stream.len() as u64, &Limits::default()).unwrap();
        assert!(pickle.tensors().is_empty());
        let error = refused("inert", torch_zip(&stream, &[]));
        assert!(matches!(error, LoadError::Pth(PthError::NoStateDict { .. })), "{error}");
    }
}

// ---- A2

fn stream_lies() -> Vec<(&'static str, Vec<u8>)> {
    let dict = || Asm::new().ordered_dict();
    let tensor = || Asm::default().tensor("0", 4, 0, &[4], &[1]);
    let on = |target: Asm, code: u8| Asm::new().raw(&target.0).text("a").text("b").op(code).stop();
    let many = |target: Asm, code: u8| Asm::new().raw(&target.0).mark().text("a").text("b").op(code).stop();
    let storage = || Asm::default().storage("torch.FloatStorage", "0", 4);
    let list = || Asm::default().op(b']');
    let big = 1i64 << 62;
    let mut lies = vec![
        ("SETITEM on a tensor", on(tensor(), b's')),
        ("SETITEMS on a tensor", many(tensor(), b'u')),
        ("SETITEM on a list", on(list(), b's')),
        ("SETITEMS on text", many(Asm::default().text("x"), b'u')),
        ("SETITEM on a storage", on(storage(), b's')),
        ("APPENDS on a dictionary", many(Asm::default().op(b'}'), b'e')),
        ("APPEND on a tensor", Asm::new().raw(&tensor().0).int(1).op(b'a').stop()),
        ("ADDITEMS on a list", many(list(), 0x90)),
        ("odd SETITEMS", dict().mark().text("a").op(b'u').stop()),
        ("unhashable key", dict().op(b']').int(1).op(b's').stop()),
        ("tensor as key", dict().raw(&tensor().0).int(1).op(b's').stop()),
        ("storage longer than its record", one_tensor(5, 0, &[4], &[1])),
        ("storage shorter than its record", one_tensor(3, 0, &[3], &[1])),
        ("storage of 2^62 elements", one_tensor(big, 0, &[4], &[1])),
        ("storage of negative length", one_tensor(-4, 0, &[4], &[1])),
        ("offset beyond the storage", one_tensor(4, 5, &[1], &[1])),
        ("offset at the end", one_tensor(4, 4, &[1], &[1])),
        ("offset negative", one_tensor(4, -1, &[1], &[1])),
        ("offset 2^62", one_tensor(4, big, &[1], &[1])),
        ("size beyond the storage", one_tensor(4, 0, &[5], &[1])),
        ("size negative", one_tensor(4, 0, &[-4], &[1])),
        ("size product 2^64 + 32", one_tensor(4, 0, &[(1 << 32) + 2, 1 << 32], &[0, 0])),
        ("size product 2^64", one_tensor(4, 0, &[1 << 32, 1 << 32], &[0, 0])),
        ("stride negative", one_tensor(4, 3, &[4], &[-1])),
        ("stride beyond the storage", one_tensor(4, 0, &[2], &[4])),
        ("stride 2^62", one_tensor(4, 0, &[3], &[big])),
        ("stride 0 expands to 2^40 elements", one_tensor(4, 0, &[1 << 40], &[0])),
        ("strides overlap beyond the end", one_tensor(4, 0, &[2, 2, 2], &[1, 1, 3])),
        ("more sizes than strides", one_tensor(4, 0, &[2, 2], &[1])),
        ("more strides than sizes", one_tensor(4, 0, &[4], &[1, 1])),
        ("nine dimensions", one_tensor(4, 0, &[1; 9], &[1; 9])),
        ("unknown storage key", Asm::dict_of(Asm::default().tensor("7", 4, 0, &[4], &[1]))),
        ("storage key with a path", Asm::dict_of(Asm::default().tensor("../version", 4, 0, &[4], &[1]))),
        ("tensor over text", {
            Asm::dict_of(Asm::default().tensor_over(Asm::default().text("0"), 0, &[4], &[1]))
        }),
        ("tensor over a tensor", Asm::dict_of(Asm::default().tensor_over(tensor(), 0, &[4], &[1]))),
        ("too few arguments", {
            let call = Asm::default().global("torch._utils", "_rebuild_tensor_v2");
            Asm::dict_of(call.raw(&storage().0).int(0).op(0x86).reduce())
        }),
        ("size that is a list", {
            let call = Asm::default().global("torch._utils", "_rebuild_tensor").mark().raw(&storage().0);
            Asm::dict_of(call.int(0).op(b']').ints(&[1]).tuple().reduce())
        }),
        ("size of text", {
            let call =
                Asm::default().global("torch._utils", "_rebuild_tensor").mark().raw(&storage().0).int(0);
            Asm::dict_of(call.text("4").op(0x85).ints(&[1]).tuple().reduce())
        }),
        ("bool as size", {
            let call =
                Asm::default().global("torch._utils", "_rebuild_tensor").mark().raw(&storage().0).int(0);
            Asm::dict_of(call.op(0x88).op(0x85).ints(&[1]).tuple().reduce())
        }),
        ("one storage with two types", {
            let other = Asm::default().storage("torch.IntStorage", "0", 4);
            let second = Asm::default().tensor_over(other, 0, &[4], &[1]);
            dict().mark().text("a").raw(&tensor().0).text("b").raw(&second.0).op(b'u').stop()
        }),
        ("the same key twice", {
            dict().mark().text("a").raw(&tensor().0).text("a").raw(&tensor().0).op(b'u').stop()
        }),
        (
            "key that is a number",
            dict().mark().text("a").raw(&tensor().0).int(3).raw(&tensor().0).op(b'u').stop(),
        ),
        ("key with a line feed", dict().text("a\nb").raw(&tensor().0).op(b's').stop()),
        ("key of 600 characters", dict().text(&"k".repeat(600)).raw(&tensor().0).op(b's').stop()),
        ("dangling memo", Asm::new().get(3).stop()),
        ("dangling long memo", Asm::new().op(b'j').raw(&u32::MAX.to_le_bytes()).stop()),
        ("memo slot 2^32 - 1", dict().op(b'r').raw(&u32::MAX.to_le_bytes()).stop()),
        ("memo slot 2^20", dict().op(b'r').raw(&(1u32 << 20).to_le_bytes()).stop()),
        ("put on an empty stack", Asm::new().put(0).stop()),
        ("stack underflow by REDUCE", Asm::new().reduce().stop()),
        ("stack underflow by TUPLE3", Asm::new().op(b'N').op(b'N').op(0x87).stop()),
        ("stack underflow below a mark", Asm::new().op(b'N').mark().op(b'0').op(b'0').op(b'a').stop()),
        ("underflow through a mark", Asm::new().op(b']').mark().op(b'a').stop()),
        ("TUPLE without a mark", Asm::new().op(b'N').tuple().stop()),
        ("POP_MARK without a mark", Asm::new().op(b'1').stop()),
        ("APPENDS at the bottom", Asm::new().mark().op(b'e').stop()),
        ("STOP on an empty stack", Asm::new().stop()),
        ("STOP with two values", Asm::new().op(b'N').op(b'N').stop()),
        ("unclosed mark", dict().mark().stop()),
        ("no STOP", dict().0),
        ("nothing at all", Vec::new()),
        ("protocol 0", vec![0x80, 0, b'N', b'.']),
        ("protocol 6", vec![0x80, 6, b'N', b'.']),
        ("protocol 255", vec![0x80, 255, b'N', b'.']),
        ("frame past the end", Asm::new().op(0x95).raw(&100u64.to_le_bytes()).op(b'N').stop()),
        ("frame of 2^64 - 1", Asm::new().op(0x95).raw(&u64::MAX.to_le_bytes()).op(b'N').stop()),
        ("BINUNICODE of 4 GiB", Asm::new().op(b'X').raw(&u32::MAX.to_le_bytes()).stop()),
        ("BINUNICODE8 of 2^64 - 1", Asm::new().op(0x8D).raw(&u64::MAX.to_le_bytes()).stop()),
        ("BINBYTES8 of 2^63", Asm::new().op(0x8E).raw(&(1u64 << 63).to_le_bytes()).stop()),
        (
            "BINUNICODE that is not UTF-8",
            Asm::new().op(b'X').raw(&2u32.to_le_bytes()).raw(b"\xff\xfe").stop(),
        ),
        ("LONG4 of 2 GiB", Asm::new().op(0x8B).raw(&0x7FFF_FFFFu32.to_le_bytes()).stop()),
        ("LONG4 of 2000 bytes", Asm::new().op(0x8B).raw(&2000u32.to_le_bytes()).raw(&[1; 2000]).stop()),
        ("LONG1 past the end", Asm::new().op(0x8A).op(255).stop()),
        ("GLOBAL without an end", Asm::new().raw(b"ccollections").stop()),
        ("GLOBAL that is not UTF-8", Asm::new().raw(b"c\xff\xff\nx\n").stop()),
        ("root is a list", Asm::new().op(b']').stop()),
        ("root is a tensor", Asm::new().raw(&tensor().0).stop()),
        ("empty state dict", dict().stop()),
    ];
    // Deep, wide and cyclic.
    let nested = |code: u8| Asm::new().op(b')').raw(&vec![code; 1_000_000]).stop();
    lies.push(("tuples nested 10^6", nested(0x85)));
    lies.push(("marks nested 10^6", Asm::new().raw(&vec![b'('; 1_000_000]).stop()));
    lies.push(("lists nested 10^6", {
        let open = vec![b']'; 1_000_000];
        Asm::new().raw(&open).raw(&vec![b'a'; 999_999]).stop()
    }));
    lies.push(("a million lists", Asm::new().mark().raw(&vec![b']'; 1_000_000]).tuple().stop()));
    lies.push(("a million dictionaries", Asm::new().mark().raw(&vec![b'}'; 1_000_000]).tuple().stop()));
    lies.push(("a list in itself", Asm::new().op(b']').put(0).get(0).op(b'a').stop()));
    lies.push(("a dictionary in itself", dict().put(0).text("a").get(0).op(b's').stop()));
    lies.push(("billion laughs", {
        let mut asm = Asm::new().text("lol").put(0);
        for level in 0..200u8 {
            asm = asm.get(level);
            for _ in 0..9 {
                asm = asm.get(level);
            }
            asm = asm.op(b'0').mark();
            for _ in 0..10 {
                asm = asm.get(level);
            }
            asm = asm.tuple().put(level + 1);
        }
        asm.stop()
    }));
    lies.push(("one list of pairs copied 100,000 times", {
        let mut asm = Asm::new().op(b']').put(0).mark();
        for _ in 0..10_000 {
            asm = asm.int(1).int(2).op(0x86);
        }
        asm = asm.op(b'e').op(b'0').global("collections", "OrderedDict").put(1).op(b'0').mark();
        for _ in 0..100_000 {
            asm = asm.get(1).get(0).op(0x85).reduce();
        }
        asm.tuple().stop()
    }));
    lies.push(("a thousand tensors that each expand the storage", {
        let mut asm = dict().mark();
        for i in 0..1000 {
            asm = asm.text(&format!("t{i}")).tensor("0", 4, 0, &[64, 64], &[0, 0]);
        }
        asm.op(b'u').stop()
    }));
    lies
}

#[test]
fn a2_streams_that_lie_are_refused() {
    let lies = stream_lies();
    assert!(lies.len() >= 60, "{}", lies.len());
    let record = floats(&[1.0, 2.0, 3.0, 4.0]);
    for (name, stream) in &lies {
        let zipped = torch_zip(stream, &[("0", &record)]);
        let legacy = legacy(stream, &[("0", 4, &record)]);
        for (place, file) in [("zip", zipped), ("legacy", legacy)] {
            match refused(&format!("{name} in {place}"), file.clone()) {
                LoadError::Pth(_) => {}
                // A lie that shows only when tensors are read, which a file without a trunk never reaches.
                LoadError::Rename(_) => {
                    let mut source = &file[..];
                    let limits = Limits::default();
                    let opened = match place {
                        "zip" => pth::open_zip(&mut source, &limits, None).unwrap(),
                        _ => pth::open_legacy(&mut source, &limits, None).unwrap(),
                    };
                    let all: Vec<usize> = (0..opened.views.len()).collect();
                    let error = opened.read(&mut source, &all).map(drop).expect_err(name);
                    assert!(matches!(error, ReadError::Expands { .. }), "{name} in {place}: {error}");
                }
                error => panic!("{name} in {place}: {error}"),
            }
        }
    }
}

/// Which error, not only that there is one: other checks would refuse most of these too.
#[test]
fn a2_the_machine_gives_the_right_reason() {
    type Is = fn(&PickleError) -> bool;
    let underflow: Is = |e| matches!(e, PickleError::StackUnderflow { .. });
    let cases: Vec<(&str, Vec<u8>, Is)> = vec![
        (
            "REDUCE through a mark",
            Asm::new().global("collections", "OrderedDict").op(b')').mark().reduce().op(b'1').stop(),
            underflow,
        ),
        (
            "BUILD through a mark",
            Asm::new().ordered_dict().op(b'}').mark().op(b'b').op(b'1').stop(),
            underflow,
        ),
        ("PUT through a mark", Asm::new().op(b'N').mark().put(0).op(b'1').stop(), underflow),
        ("APPEND through a mark", Asm::new().op(b']').op(b'N').mark().op(b'a').op(b'1').stop(), underflow),
        ("TUPLE2 through a mark", Asm::new().op(b'N').op(b'N').mark().op(0x86).op(b'1').stop(), underflow),
        ("257 levels", Asm::new().op(b')').raw(&[0x85; 257]).stop(), |e| {
            matches!(e, PickleError::Limit { what: "levels of nesting", .. })
        }),
        ("257 marks", Asm::new().raw(&[b'('; 257]).stop(), |e| {
            matches!(e, PickleError::Limit { what: "open marks", .. })
        }),
        ("a memo slot too far", Asm::new().op(b'N').op(b'r').raw(&(1u32 << 20).to_le_bytes()).stop(), |e| {
            matches!(e, PickleError::Limit { what: "memo slots", .. })
        }),
        ("an empty memo slot", Asm::new().op(b'N').put(5).get(4).stop(), |e| {
            matches!(e, PickleError::Memo { slot: 4, .. })
        }),
        ("no STOP", Asm::new().op(b'N').0, |e| matches!(e, PickleError::Truncated { .. })),
        ("two values", Asm::new().op(b'N').op(b'N').stop(), |e| matches!(e, PickleError::Unfinished { .. })),
        ("an open mark", Asm::new().op(b'N').mark().stop(), |e| matches!(e, PickleError::Unfinished { .. })),
        ("a tensor past its storage", Asm::new().tensor("0", 4, 1, &[4], &[1]).stop(), |e| {
            matches!(e, PickleError::Tensor { .. })
        }),
    ];
    for (name, stream, is) in cases {
        let error = pickle::run(&stream, stream.len() as u64, &Limits::default()).expect_err(name);
        assert!(is(&error), "{name}: {error}");
    }
    // The last values that are still allowed.
    for good in [
        Asm::new().op(b')').raw(&[0x85; 255]).stop(),
        Asm::new().raw(&[b'('; 256]).raw(&[b'1'; 256]).op(b'N').stop(),
        Asm::new().op(b'N').op(b'r').raw(&((1u32 << 20) - 1).to_le_bytes()).stop(),
        Asm::new().tensor("0", 4, 1, &[3], &[1]).stop(),
        Asm::new().tensor("0", 4, 4, &[0, 9], &[1, 1]).stop(),
    ] {
        pickle::run(&good, good.len() as u64, &Limits::default()).unwrap();
    }
}

/// A file that lies only in what it expands to reaches the reader of tensors; that one keeps the bound too.
#[test]
fn a2_reading_tensors_is_bounded_by_the_file() {
    let record = floats(&[1.0, 2.0, 3.0, 4.0]);
    let mut source = &torch_zip(&one_tensor(4, 0, &[1 << 30], &[0]), &[("0", &record)])[..];
    let file = pth::open_zip(&mut source, &Limits::default(), None).unwrap();
    let (result, most) = peak(|| file.read(&mut source, &[0]).map(drop));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("more bytes than the file has"), "{error}");
    assert!(most < SPARE, "{most}");
}

#[test]
fn a2_legacy_containers_that_lie_are_refused() {
    let record = floats(&[1.0, 2.0, 3.0, 4.0]);
    let stream = one_tensor(4, 0, &[4], &[1]);
    let honest = legacy(&stream, &[("0", 4, &record)]);
    // The honest form is refused only because it holds no trunk.
    assert!(matches!(refused("honest", honest.clone()), LoadError::Rename(_)));
    let head = |number: i64, facts: Vec<u8>| {
        let mut file = LEGACY_MAGIC.to_vec();
        file.extend(Asm::new().int(number).stop());
        file.extend(facts);
        file.extend(&stream);
        file.extend(legacy_keys(&["0"]));
        file.extend(4u64.to_le_bytes());
        file.extend(&record);
        file
    };
    let big_endian = Asm::new().op(b'}').text("little_endian").op(0x89).op(b's').stop();
    let mut longer = honest.clone();
    longer.extend(b"PK\x05\x06 and more");
    let view = |offset: i64, size: i64| {
        let id = Asm::default().mark().text("storage").global("torch", "FloatStorage").text("0").text("cpu");
        let id = id.int(4).mark().text("1").int(offset).int(size).tuple().tuple().op(b'Q');
        Asm::dict_of(Asm::default().tensor_over(id, 0, &[2], &[1]))
    };
    let cases = vec![
        ("another protocol", head(1002, legacy_facts())),
        ("big-endian", head(1001, big_endian)),
        ("facts that are no dictionary", head(1001, Asm::new().op(b']').stop())),
        ("data after the last storage", longer),
        ("count 2^64 - 1", legacy(&stream, &[("0", u64::MAX, &record)])),
        ("count 2^62", legacy(&stream, &[("0", 1 << 62, &record)])),
        ("count one more", legacy(&stream, &[("0", 5, &record)])),
        ("count one less", legacy(&stream, &[("0", 3, &record[..12])])),
        ("record cut short", legacy(&stream, &[("0", 4, &record[..15])])),
        ("key listed twice", legacy(&stream, &[("0", 4, &record), ("0", 4, &record)])),
        ("key that nothing mentions", legacy(&stream, &[("0", 4, &record), ("1", 4, &record)])),
        ("key missing", legacy(&stream, &[])),
        ("another key", legacy(&stream, &[("1", 4, &record)])),
        ("view beyond the end", legacy(&view(3, 2), &[("0", 4, &record)])),
        ("view at a negative place", legacy(&view(-1, 2), &[("0", 4, &record)])),
        ("view of 2^62 elements", legacy(&view(1, 1 << 62), &[("0", 4, &record)])),
    ];
    for (name, file) in cases {
        let error = refused(name, file);
        assert!(matches!(error, LoadError::Pth(_)), "{name}: {error}");
    }
    // A view inside its root is right.
    assert!(matches!(refused("good view", legacy(&view(1, 2), &[("0", 4, &record)])), LoadError::Rename(_)));
}
