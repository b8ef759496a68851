# A small module system of our own, with the names that the module uses and no others: what is
# not in this list is an error, never a pass. It stands in for nixpkgs' lib where there is none;
# where there is (DUBNIUM_NIXPKGS_LIB), the same cases have to end the same with both.
let
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    functionArgs
    genList
    hasAttr
    head
    intersectAttrs
    isAttrs
    isBool
    isFloat
    isFunction
    isInt
    isList
    isPath
    isString
    length
    listToAttrs
    mapAttrs
    match
    removeAttrs
    split
    stringLength
    substring
    tail
    toJSON
    ;

  concatMap = f: list: concatLists (map f list);
  optional = cond: value: if cond then [ value ] else [ ];
  optionalAttrs = cond: value: if cond then value else { };
  optionalString = cond: value: if cond then value else "";
  nameValuePair = name: value: { inherit name value; };
  mapAttrs' = f: set: listToAttrs (map (n: f n set.${n}) (attrNames set));
  filterAttrs = pred: set: listToAttrs (map (n: nameValuePair n set.${n}) (filter (n: pred n set.${n}) (attrNames set)));
  genAttrs = names: f: listToAttrs (map (n: nameValuePair n (f n)) names);
  recursiveUpdate =
    a: b:
    if isAttrs a && isAttrs b then
      a // mapAttrs (n: v: if a ? ${n} then recursiveUpdate a.${n} v else v) b
    else
      b;
  setAttrByPath = path: value: if path == [ ] then value else { ${head path} = setAttrByPath (tail path) value; };
  getAttrFromPath = path: set: foldl' (at: name: at.${name}) set path;
  hasPrefix = p: s: substring 0 (stringLength p) s == p;
  hasSuffix = x: s: stringLength s >= stringLength x && substring (stringLength s - stringLength x) (-1) s == x;
  hasInfix = x: s: length (split (escape x) s) > 1;
  # Only for what holds no character that means something in a regular expression.
  escape = x: if match "[-A-Za-z0-9@ ]+" x != null then x else throw "shim: hasInfix of ${x}";
  removePrefix = p: s: if hasPrefix p s then substring (stringLength p) (-1) s else s;
  removeSuffix = x: s: if hasSuffix x s then substring 0 (stringLength s - stringLength x) s else s;
  splitString = sep: s: filter isString (split (if sep == "." then "[.]" else throw "shim: splitString at ${sep}") s);
  subtractLists = not: filter (x: !elem x not);
  fileContents = file: removeSuffix "\n" (builtins.readFile file);

  dots = concatStringsSep ".";
  wrong = loc: text: throw "The option `${dots loc}' ${text}";

  # Properties: what stands around a value and says when, and how much, it counts.
  property = kind: x: isAttrs x && x ? _type && x._type == kind;
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOption = spec: {
    _type = "option";
  } // spec;

  # pushDown gives the attribute sets of a definition, with the properties around each of their
  # values. It looks at no condition: one may depend on what is being put together.
  pushDown =
    def:
    if property "merge" def then
      concatMap pushDown def.contents
    else if property "if" def then
      map (mapAttrs (_: mkIf def.condition)) (pushDown def.content)
    else if property "override" def then
      map (mapAttrs (_: mkOverride def.priority)) (pushDown def.content)
    else
      [ def ];

  # discharge gives the values of a definition that count, with their priorities.
  discharge =
    priority: def:
    if property "merge" def then
      concatMap (discharge priority) def.contents
    else if property "if" def then
      if def.condition then discharge priority def.content else [ ]
    else if property "override" def then
      discharge def.priority def.content
    else
      [
        {
          inherit priority;
          value = def;
        }
      ];

  lowest = defs: foldl' (p: d: if d.priority < p then d.priority else p) 1000000 defs;

  # mergeDefs gives a list with the value that definitions of a type come to, or none.
  mergeDefs =
    loc: type: defs:
    let
      counting = concatMap (discharge 100) defs;
      priority = lowest counting;
      values = map (d: d.value) (filter (d: d.priority == priority) counting);
      bad = filter (v: !type.check v) values;
    in
    if values == [ ] then
      [ ]
    else if bad != [ ] then
      throw "A definition for option `${dots loc}' is not of type `${type.description}'."
    else
      [ (type.merge loc values) ];

  same =
    loc: values:
    if all (v: v == head values) values then head values else wrong loc "has conflicting definition values.";
  one = loc: values: if length values == 1 then head values else wrong loc "is defined more than once.";

  simple = description: check: {
    inherit description check;
    merge = same;
  };

  types = rec {
    bool = simple "boolean" isBool;
    int = simple "signed integer" isInt;
    float = simple "floating point number" isFloat;
    ints.between = low: high: simple "integer between ${toString low} and ${toString high} (both inclusive)" (v: isInt v && v >= low && v <= high);
    port = ints.between 0 65535;
    str = simple "string" isString;
    nonEmptyStr = simple "non-empty string" (v: isString v && match "[ \t\n]*" v == null);
    strMatching = pattern: simple "string matching the pattern ${pattern}" (v: isString v && match pattern v != null);
    enum = values: simple "one of ${concatStringsSep ", " (map toJSON values)}" (v: elem v values);
    package = {
      description = "package";
      check = v: isAttrs v && v ? type && v.type == "derivation";
      merge = one;
    };
    path = {
      description = "absolute path";
      check = v: (isPath v || isString v || isAttrs v && v ? outPath) && substring 0 1 (toString v) == "/";
      merge = same;
    };
    raw = {
      description = "raw value";
      check = _: true;
      merge = one;
    };
    nullOr = t: {
      description = "null or ${t.description}";
      check = v: v == null || t.check v;
      merge =
        loc: values:
        if all (v: v == null) values then
          null
        else if any (v: v == null) values then
          wrong loc "is defined both null and not null."
        else
          t.merge loc values;
    };
    either = a: b: {
      description = "${a.description} or ${b.description}";
      check = v: a.check v || b.check v;
      merge =
        loc: values:
        if all a.check values then
          a.merge loc values
        else if all b.check values then
          b.merge loc values
        else
          wrong loc "has definitions of different types.";
    };
    oneOf = ts: foldl' either (head ts) (tail ts);
    listOf = t: {
      description = "list of ${t.description}";
      check = isList;
      merge =
        loc: values:
        concatLists (
          map (v: concatLists (genList (i: mergeDefs (loc ++ [ "[entry ${toString i}]" ]) t [ (elemAt v i) ]) (length v))) values
        );
    };
    attrsOf = t: {
      description = "attribute set of ${t.description}";
      check = isAttrs;
      merge =
        loc: values:
        let
          sets = concatMap pushDown values;
          names = attrNames (foldl' (a: b: a // b) { } sets);
          merged = n: mergeDefs (loc ++ [ n ]) t (map (s: s.${n}) (filter (hasAttr n) sets));
        in
        listToAttrs (concatMap (n: map (nameValuePair n) (merged n)) names);
    };
    submodule = module: {
      description = "submodule";
      check = v: isAttrs v || isFunction v || isPath v;
      merge = loc: values: (evaluate loc ([ module ] ++ values) { name = elemAt loc (length loc - 1); }).config;
    };
  };

  # load gives the options and definitions of modules and of all that they import, in the order
  # in which nixpkgs merges them: the last of those that are the furthest in comes first.
  load =
    args: modules:
    let
      item = parent: index: module: {
        key = if isPath module then toString module else "${parent}:${toString index}";
        value = read args module;
      };
      items = parent: list: genList (i: item parent i (elemAt list i)) (length list);
      all = builtins.genericClosure {
        startSet = items "" modules;
        operator = i: items i.key i.value.imports;
      };
    in
    genList (i: (elemAt all (length all - 1 - i)).value) (length all);

  read =
    args: module:
    let
      value = if isPath module then import module else module;
      wants = functionArgs value;
      body =
        if isFunction value then value (if wants == { } then args else intersectAttrs wants args) else value;
      structured = body ? options || body ? config || body ? freeformType;
      extra = attrNames (removeAttrs body [ "imports" "options" "config" "freeformType" ]);
    in
    if structured && extra != [ ] then
      throw "a module has the attribute ${head extra} beside its options and config"
    else
      {
        imports = body.imports or [ ];
        options = body.options or { };
        config = if structured then body.config or { } else removeAttrs body [ "imports" ];
        freeform = body.freeformType or null;
      };

  joinOptions =
    loc: a: b:
    a
    // mapAttrs (
      n: v:
      if !(a ? ${n}) then
        v
      else if property "option" a.${n} || property "option" v then
        wrong (loc ++ [ n ]) "is declared more than once."
      else
        joinOptions (loc ++ [ n ]) a.${n} v
    ) b;

  tree =
    loc: options: freeform: defs:
    let
      sets = concatMap pushDown defs;
      below = n: map (s: s.${n}) (filter (hasAttr n) sets);
      unknown = filter (n: !(options ? ${n})) (attrNames (foldl' (a: b: a // b) { } sets));
      free = mergeDefs loc freeform (map (intersectAttrs (listToAttrs (map (n: nameValuePair n null) unknown))) sets);
      branch =
        n: option:
        let
          here = loc ++ [ n ];
          value = mergeDefs here option.type (optional (option ? default) (mkOverride 1500 option.default) ++ below n);
        in
        if !property "option" option then
          tree here option null (below n)
        else if option ? type && value != [ ] then
          (option.apply or (x: x)) (head value)
        else
          wrong here "is used but not defined.";
    in
    if unknown != [ ] && freeform == null then
      throw "The option `${dots (loc ++ [ (head unknown) ])}' does not exist."
    else
      mapAttrs branch options // (if unknown == [ ] then { } else head free);

  evaluate =
    loc: modules: special:
    let
      args = {
        inherit lib config options;
      } // special;
      loaded = load args modules;
      options = foldl' (joinOptions loc) { } (map (m: m.options) loaded);
      freeform = foldl' (t: m: if m.freeform != null then m.freeform else t) null loaded;
      config = tree loc options freeform (map (m: m.config) loaded);
    in
    {
      inherit config options;
    };

  lib = {
    inherit
      all
      concatMap
      concatStringsSep
      elem
      fileContents
      filterAttrs
      foldl'
      genAttrs
      getAttrFromPath
      hasInfix
      hasPrefix
      hasSuffix
      mapAttrs'
      mkIf
      mkMerge
      mkOption
      nameValuePair
      optional
      optionalAttrs
      optionalString
      recursiveUpdate
      removePrefix
      removeSuffix
      setAttrByPath
      splitString
      subtractLists
      types
      ;
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;
    concatMapStringsSep = sep: f: list: concatStringsSep sep (map f list);
    escapeShellArg = s: if match "[A-Za-z0-9_./:=-]+" s != null then s else "'${s}'";
    literalMD = text: {
      _type = "literalMD";
      inherit text;
    };
    getLib = package: package;
    # Some of them: of most there is no package set in the flake of nixpkgs.
    platforms.linux = [ "aarch64-linux" "m68k-linux" "x86_64-linux" ];
    fileset = {
      unions = files: files;
      difference = all: not: { inherit all not; };
      fileFilter = pred: path: { inherit path; };
      toSource = { root, fileset }: toString root;
    };
    evalModules =
      {
        modules,
        specialArgs ? { },
      }:
      evaluate [ ] modules specialArgs;
  };
in
lib
