"use strict";
// Die Sätze der Seite auf Deutsch; nur die Namen der Verfahren und was Python schreibt, bleiben englisch.
(() => {
  const { en } = convbench.languages;
  const count = (value) => convbench.dom.count(value);
  const s = (value, noun, nouns) => `${count(value)} ${value === 1 ? noun : nouns}`;
  const times = (...sizes) => sizes.join(" × ");
  const listed = (values) => (values.length > 1 && values.at(-1) - values[0] === values.length - 1 ?
    `${values[0]} bis ${values.at(-1)}` : values.length > 6 ? [...values.slice(0, 3), "…", values.at(-1)].join(", ") :
      values.join(", "));
  const LINES = [["Zeile", "Zeilen"], ["Spalte", "Spalten"]];
  // What `convbench ran` writes of a call on a CPU; a sentence that is not among these stays as it is.
  const TOLD = [
    [/^First x was padded by (.*), since torch pads opposite sides alike\./, "Zuerst wurde x mit $1 gefüllt, denn torch " +
      "füllt gegenüberliegende Seiten gleich."],
    [/^PyTorch really built this patch matrix: (.*) of scratch = (.*) numbers in (.*) \(its (.*) path\)/,
      "PyTorch baute diese Patch-Matrix wirklich: $1 Zwischenspeicher = $2 Zahlen in $3 (sein Weg $4)"],
    [/^PyTorch really built this patch matrix, in pieces: (.*) of scratch \(its (.*) path\)/,
      "PyTorch baute diese Patch-Matrix wirklich, in Teilen: $1 Zwischenspeicher (sein Weg $2)"],
    [/^PyTorch built nothing: here the patch matrix is x itself \(its (.*) path\)/,
      "PyTorch baute nichts: Die Patch-Matrix ist hier x selbst (sein Weg $1)"],
    [/^PyTorch did not build this patch matrix itself: it handed the call to (.*?)\..*(`.*`).*/,
      "PyTorch baute diese Patch-Matrix nicht selbst: Es gab den Aufruf an $1 weiter. $2 zeigt, welcher Kernel lief."],
    [/^The size of the (padded )?image decides: up to (.*) it is (.*), from (.*) on (.*)\./,
      "Die Größe des Bildes entscheidet: bis $2 ist es $3, ab $4 $5."],
    [/^The size of the (padded )?image does not decide: it is the same for (.*) and (.*)\./,
      "Die Größe des Bildes entscheidet nicht: Bei $2 und $3 ist es dasselbe."],
    [/^Why: /, "Warum: "],
    [/there is only 1 image, of (.*) elements? \(at most (.*)\), and 1 group, and (both|one) sides? of the (.*) kernel (?:are|is) at most 3/,
      (_, count, most, sides, kernel) => `es gibt nur 1 Bild mit ${count} ${count === "1" ? "Element" : "Elementen"} ` +
        `(höchstens ${most}) und 1 Gruppe, und ${sides === "both" ? "beide Seiten" : "eine Seite"} des Kerns von ${kernel} ` +
        `${sides === "both" ? "sind" : "ist"} höchstens 3`],
    [/the input has (.*) elements \(more than (.*?)\)/, "x hat $1 Elemente (mehr als $2)"],
    [/there is more than 1 group/, "es gibt mehr als 1 Gruppe"], [/there is more than 1 image/, "es gibt mehr als 1 Bild"],
    [/both sides of the (\d+x\d+) kernel are larger than 3/, "beide Seiten des Kerns von $1 sind über 3"],
    [/there is only 1 thread for a plain 1x1 kernel on (\d+) images? \(fewer than 16\)/,
      "es gibt nur 1 Thread für einen einfachen 1x1-Kern (Bilder: $1, unter 16)"],
    [/, so torch uses oneDNN/, "; darum nimmt torch oneDNN"], [/, so torch does not use oneDNN/,
      "; darum nimmt torch oneDNN nicht"],
    [/, and its own code for dilation (.*) runs/, ", und es läuft der eigene Code für Dehnung $1"],
    [/torch ran (\w+), which is (\w+)/, "torch nahm $1, das ist $2"], [/torch ran /, "torch nahm "],
    [/oneDNN ran (.*), algorithm (\w+)/, "oneDNN nahm $1, Verfahren $2"],
    [/whether it built the patch matrix (.*) was not looked up here; (`.*`) reads oneDNN's log for it/,
      "ob es die Patch-Matrix $1 baute, wurde hier nicht nachgesehen; $2 liest dafür das Log von oneDNN"],
    [/which oneDNN primitive ran was not looked up here; (`.*`) shows it/,
      "welches Primitiv von oneDNN lief, wurde hier nicht nachgesehen; $1 zeigt es"],
    [/it built the patch matrix /, "es baute die Patch-Matrix "],
    [/it built no patch matrix, which would take (.*); beyond (.*) it allocated (.*)/, (_, would, beyond, took) =>
      `es baute keine Patch-Matrix (das wären ${would}); außer ${beyond === "y" ? "y" : "y und umgeordneten Kopien"} ` +
      `${took === "nothing" ? "belegte es nichts" : `nur ${took.replace("only ", "")}`}`],
    [/ floats/g, " Zahlen"], [/(\d),(?=\d{3})/g, "$1."],
  ];

  const paddingWords = ({ padding, end }) => {
    const sides = [padding[0], end[0], padding[1], end[1]];
    return `Rand ${convbench.even({ padding, end }) ? padding.join(" × ") :
      sides.map((side, i) => `${side} ${de.quiz.sides[i]}`).join(", ")}`;
  };

  const de = {
    ...en,
    language: "Deutsch",
    locale: "de-DE",
    page: {
      title: "Eine Faltung, Zahl für Zahl",
      tabs: "Ansichten", steps: "Schritte", algorithms: "Verfahren", backward: "Rückwärts", quiz: "Quiz",
      change: "Ändern", problem: "Bild, Kern und Größen ändern (s)", numbers: "Zahlen", colours: "Farben",
      values: "Werte zeigen als (v)", share: "Link kopieren", copied: "Kopiert", address: "Siehe Adresszeile",
      print: "Drucken", theme: "Dunkel oder hell (t)", present: "Vorführen (f)", close: "Schließen",
      story: "Dieser Schritt", picture: "Bild", code: "In PyTorch", copy: "Kopieren", more: "Mehr",
      codeLabel: "Dieser Schritt in PyTorch", time: "Zeit", previous: "Voriger Schritt", next: "Nächster Schritt",
      play: "Abspielen", pause: "Anhalten", slower: "Langsamer", faster: "Schneller", speed: "Tempo",
      edit: "Neuer Wert", sign: "Vorzeichen ändern", keys: "Tasten", drop: "Bild hier ablegen", tables: "Dieselben Zahlen als Tabellen",
      language: "Sprache",
      footer: "Erzeugt von convbench. Kreuzkorrelation wie in torch: Der Kern wird nicht gespiegelt. Gerechnet wird in " +
        "float64; Summen ganzer Zahlen sind darin exakt, und gleich heißt gleich.",
      canvas: "Bild, Kern, Patches und Ausgabe. Mit Tab erreicht man dieselben Zahlen als Tabellen; darin bewegen die " +
        "Pfeiltasten, und Enter ändert eine Zahl oder geht zu einer Ausgabe.",
    },
    choose: {
      image: "Bild x", kernel: "Kern w", sizes: "Größen", counted: "die gezählten Zahlen", own: "Eigenes Bild",
      pictures: { seven: "Sieben", rings: "Ringe", house: "Haus", face: "Gesicht" }, file: "Datei wählen",
      theme: "Farbschema", dropIt: "Bild ablegen oder einfügen, oder", undo: "Alle Änderungen zurücknehmen",
      seeded: "Zufall", kernels: { identity: "Identität", "sobel-x": "Sobel x", "sobel-y": "Sobel y",
        laplacian: "Laplace", blur: "Weichzeichnen", sharpen: "Schärfen" },
      took: (was, now, colour) => `Eigenes Bild: ${was.join("×")}${was.join() === now.join() ? "" : ", verkleinert auf " +
        now.join("×")} (Höhe × Breite), ${colour ? "in Farbe" : "grau"}.`,
      tookKernel: (name) => `Kern: ${name}.`, light: "hell", dark: "dunkel", auto: "wie das System",
      noPicture: "Das ist kein Bild.", unreadable: "Dieser Browser kann das Bild nicht lesen.",
      typed: "Problem", n: "N Bilder", c: "C_in Kanäle", h: "H Höhe", w: "W Breite", k: "C_out Filter", r: "kH Höhe",
      s: "kW Breite", groups: "G Gruppen", seed: "Startwert", rows: "Zeilen", columns: "Spalten",
      stride: "Schrittweite", padding: "Rand", dilation: "Dehnung", numbers: "Zahlen", sides: "Seiten", mode: "Art",
      sidesHint: "1 für alle Seiten, 1x2 für Zeilen und Spalten, oder 1x2x0x1 für oben, unten, links und rechts",
      input: "x (N, C_in, H, W)", weight: "w (C_out, C_in/G, kH, kW)", whatIf: "Was wäre, wenn: ",
      sameNumbers: "Dieselben Zahlen im Terminal: ", padsAlike: "F.conv2d füllt gegenüberliegende Seiten gleich; dies ist ",
      padsZeros: "F.conv2d füllt nur mit Nullen; dies ist ", thenConv: " und dann F.conv2d ohne Rand.",
    },
    pick: { n: "Bild", c: "Kanal", k: "Filter", p: "Ausgabezeile", q: "Ausgabespalte",
      previous: (what) => `${what} zurück`, next: (what) => `${what} weiter` },
    keys: [["Leertaste", "abspielen, anhalten"], ["← →", "vorige und nächste Position; beim Vorführen Schritt"],
      ["↑ ↓", "eine Ausgabezeile hinauf und hinunter"], ["[ ]", "voriger und nächster Schritt; auch 1 bis 8"],
      ["− +", "langsamer, schneller"], ["v", "Zahlen oder Farben"], ["s", "Bild, Kern und Größen"],
      ["c k n", "nächster Kanal, Filter, nächstes Bild; mit Umschalt zurück"], ["a", "die Verfahren, und das nächste"],
      ["d", "rückwärts: dX, dW und die Überlappungen"], ["?", "Quiz"], ["f", "vorführen"], ["t", "dunkel oder hell"],
      ["Esc", "schließen, oder eine gehaltene Zelle loslassen"]],
    stage: {
      across: "nebeneinander", down: "untereinander", empty: "leer", inPatch: "im Patch", padding: "Rand",
      unread: "nie gelesen", weight: "Gewicht", followed: "die verfolgte Ausgabe",
      edit: "Auf eine Zahl klicken und tippen, oder sie auf und ab ziehen.", tap: "Auf eine Zahl tippen, um sie zu ändern.",
      paint: "Auf das Bild zeichnen; Umschalt löscht.",
      seek: "Ein Klick auf eine Ausgabe oder Spalte geht dorthin.",
      moreRows: (value) => s(value, "weitere Zeile", "weitere Zeilen"),
      moreColumns: (value) => s(value, "weitere Spalte", "weitere Spalten"),
      channelOf: (c, many) => `Kanal ${c} von 0–${many - 1}`, filterOf: (k, many) => `Filter ${k} von 0–${many - 1}`,
      notRead: (k, group, from, to, c) => `Filter ${k} ist in Gruppe ${group}, die die Kanäle ${from} bis ${to} liest; ` +
        `Kanal ${c} ist nicht dabei.`,
      patchesOf: (n) => `Patches von Bild ${n}`,
    },
    links: {
      notRead: (name, k, c) => `${name}: Filter ${k} liest Kanal ${c} nicht.`,
      never: (name) => `${name} wird von keiner Ausgabe gelesen: Schrittweite, Dehnung oder Abrunden lassen es aus.`,
      read: (name, many, list) => `${name} wird ${count(many)}× gelesen: ${list}.`,
      through: (y, w) => `${y} durch ${w}`, more: (many) => `… ${many} weitere`, padded: " (Rand)",
      output: (name, l, sum) => `${name}, Spalte l = ${l}: ${sum}.`,
      entry: (place, tap, output, pixel) => `patches(${place}): Kernelement (c,kh,kw) = (${tap}) der Ausgabe (${output}) ` +
        `liest ${pixel}.`,
      weight: (name, row, many, channel) => `${name}, Zeile ${row} der Patch-Matrix: trifft ` +
        `${s(many, "Zahl", "Zahlen")} von Kanal ${channel}, eine für jede Ausgabe.`,
    },
    spoken: (p, q, k, n, total, products, left) => `y in Zeile ${p}, Spalte ${q} von Filter ${k}, Bild ${n} ist ` +
      `${total}: ${products.map(([x, w]) => `${x} mal ${w}`).join(", plus ")}` +
      `${left ? `, und ${left} weitere Produkte` : ""}.`,
    steps: {
      of: (step) => `Schritt ${step} von 8`,
      names: ["Operanden", "Eine Zelle", "Positionen", "Unfold", "w flach", "Produkt", "Reshape", "PyTorch"],
      titles: ["Operanden", "Eine Zelle, in Schleifen", "Positionen, und warum keine Schleifen", "Unfold",
        "w wird flach", "Multiplizieren", "Reshape + Beweis", "Was PyTorch hier wirklich tat"],
      texts: {
        1: ({ spec }) => `Eingabebild ${times(spec.n, spec.c, spec.h, spec.w)}: batch × input_channel × height × width. ` +
          `Kern (Filter) ${times(spec.k, spec.cg, spec.r, spec.s)}: output_channel × ` +
          `input_channel${spec.groups > 1 ? "/groups" : ""} × kernel_height × kernel_width. Noch ist nichts gerechnet.`,
        2: ({ spec }) => "Der Kern liegt auf dem Bild, wie er ist. Was übereinander liegt, wird multipliziert, und " +
          `${s(spec.taps, "Produkt wird", "Produkte werden")} addiert: eine Zahl von y. Dann die nächste, Ausgabe für ` +
          "Ausgabe.",
        3: ({ spec }) => "Direkt gerechnet sind das verschachtelte Schleifen über Höhe, Breite, Kernzeilen und " +
          `Kernspalten: ${s(spec.macs, "Durchlauf", "Durchläufe")}. Das ist ineffizient und schwer zu ` +
          "parallelisieren; darum gibt es eine Zwischenform: Patches.",
        4: ({ spec }) => "Jede Spalte ist ein Patch, die Nachbarschaft unter dem Kern an einer Stelle, als Vektor. " +
          `${s(spec.taps, "Zeile", "Zeilen")} = C_in${spec.groups > 1 ? "/G" : ""}·kH·kW = ` +
          `${spec.cg}·${spec.r}·${spec.s}; ${s(spec.l, "Spalte", "Spalten")} = H_out·W_out = ${spec.p}·${spec.q}.`,
        5: ({ spec }) => `${spec.cg === 1 ? `${s(spec.taps, "Wert ist Kernelement", "Werte sind Kernelemente")}, nicht ` +
          "Kanäle." : `Diese ${count(spec.taps)} Werte sind Kernelemente: ${spec.r}·${spec.s} für jeden von ${spec.cg} ` +
          "Kanälen."} Die Ordnung (c, kh, kw) ist die der Zeilen der Patch-Matrix; so trifft jedes Gewicht sein Pixel.`,
        6: () => "Jeder flache Patch wird skalar mit jedem flachen Kern multipliziert; über den gemeinsamen Index p wird " +
          "summiert. Die Faltung ist lineare Algebra geworden.",
        7: () => "Zurück in räumlicher Form: (batch, output_channel, H_out, W_out). Es ist wieder wie ein Bild, nun aus " +
          "Antworten statt Pixeln.",
        8: () => "Was begrifflich geschieht, muss nicht das sein, was läuft: PyTorch wählt nach den Größen. Die " +
          "Einsicht bleibt: Eine Faltung ist Unfold, ein flacher Kern, eine Matrixmultiplikation und Reshape.",
      },
      shapes: {
        positions: "Positionen des Kerns", patches: "batch × flacher Patch × Stelle",
        flat: (groups) => `${groups > 1 ? "Gruppen × " : ""}Ausgabekanäle × flache Gewichte`,
        each: (spec) => (spec.groups > 1 ? ` für jede von ${spec.groups} Gruppen` : spec.n > 1 ? " für jedes Bild" : ""),
      },
      moreTerms: (value) => `… ${s(value, "weiteres Glied", "weitere Glieder")}`,
      equalLoops: (value) => `${s(value, "Ausgabe ist gleich der", "Ausgaben sind gleich denen")} der Schleifen`,
      unlikeLoops: (worst) => `weicht um ${worst} von den Schleifen ab`,
    },
    notes: {
      before: "Davor kommen Datensatz, Transformationen und DataLoader: Das macht convbench run.",
      cross: "Kreuzkorrelation: Der Kern liegt auf dem Bild, wie er ist, nicht gespiegelt.",
      slices: (cg) => `Jeder Filter hat eine Schicht für jeden seiner ${cg} Kanäle; ihre Summen werden addiert.`,
      groups: (spec, k, group, channels) => `${spec.groups} Gruppen: Filter o=${k} ist in Gruppe ${group} und liest von x ` +
        `nur Kanal ${listed(channels)}.`,
      shown: (channels, cg, filters, kg) => `Auf der Bühne: Kanal ${listed(channels)} von ${cg}, Filter ` +
        `${listed(filters)} von ${kg}; in den Summen sind alle.`,
      bytes: (x, w, y) => `x ${count(x)} B + w ${count(w)} B hinein, y ${count(y)} B heraus, in fp32.`,
      indices: "b Bild, o Ausgabekanal, c Eingabekanal, (oh, ow) Stelle in y, (kh, kw) Stelle im Kern.",
      rows: "Zeilen", columns: "Spalten",
      flipped: (value) => `Ein gespiegelter Kern (eine echte Faltung) gäbe hier ${value}.`,
      overhang: "Der Patch ragt über den Rand: Zeilen und Spalten außerhalb von x sind Nullen.",
      copies: (mode) => `Der Patch ragt über den Rand: Außerhalb von x sind Kopien von x, ${mode}.`,
      work: (taps) => `${s(taps, "Multiplikation", "Multiplikationen")} und ${s(taps - 1, "Addition", "Additionen")} für ` +
        "diese Ausgabe.",
      letters: (even) => `${even ? "P Rand, " : ""}D Dehnung, K Kerngröße, S Schrittweite; W_out ebenso aus W.`,
      rest: (value, axis) => `Das Abrunden lässt ${s(value, ...LINES[axis])} am Ende des gefüllten x aus.`,
      unread: (axis, size, lines) => `${lines.length} von ${size} ${LINES[axis][1]} von x ` +
        `${lines.length === 1 ? "wird" : "werden"} nie gelesen: ${listed(lines)}.`,
      allRead: "Jede Zeile und jede Spalte von x wird gelesen.",
      outputs: (spec) => `N·C_out·H_out·W_out = ${s(spec.n * spec.k * spec.l, "Ausgabe", "Ausgaben")}, jede eine Summe von ` +
        `${s(spec.taps, "Produkt", "Produkten")}.`,
      rulers: ["welche Zeilen jedes oh liest", "welche Spalten jedes ow liest"], ruler: "● gelesen, · Rand",
      readRow: "gelesen", never: "nie",
      order: "Die Zeilen laufen als (c, kh, kw), kw am schnellsten.",
      rowsOf: (from, to, all, group) => `Zeilen ${from} bis ${to} von ${all} gehören zu Gruppe ${group}.`,
      stored: (x, patches, growth) => `x hat ${count(x)} B in fp32, die Patch-Matrix ${count(patches)} B (${growth}×). ` +
        "F.unfold speichert sie; ein implizites GEMM bildet sie stückweise und speichert sie nie ganz.",
      view: "Es kostet nichts; es ist eine Ansicht: Keine Zahl bewegt sich.",
      einsum: (groups) => "b batch, o Ausgabekanal, p Platz im Patch (darüber wird summiert), l Stelle" +
        `${groups > 1 ? ", g Gruppe" : ""}.`,
      output: (shape, groups) => `output → batch × ${groups > 1 ? "Gruppe × output_channel/groups" : "output_channel"} × ` +
        `Stelle = ${shape}.`,
      macs: (spec) => `${count(spec.macs)} MACs = ${s(spec.macs, "Multiplikation", "Multiplikationen")} und ` +
        `${s(spec.n * spec.k * spec.l * (spec.taps - 1), "Addition", "Additionen")}; nach Übereinkunft ` +
        `${count(2 * spec.macs)} FLOPs, 2 je MAC.`,
      onPadding: (many) => `Darin sind ${s(many, "Produkt", "Produkte")} mit Nullen des Randes.`,
      fold: (name, value, often, sum) => "F.fold ist nicht dieser Schritt: Es addiert überlappende Patches zu einem Bild " +
        `so groß wie x. ${name} = ${value} ist in ${s(often, "Patch", "Patches")} und käme ${often === 1 ? "unverändert" : `als ${sum}`} zurück.`,
    },
    proof: {
      same: (equal, shape, many) => `${s(equal, "Zahl ist", "Zahlen sind")} gleich denen von ${shape}, die ` +
        `${s(many, "Vergleich", "Vergleiche")} mit PyTorch und float64 bewiesen haben.`,
      other: (outputs, shape) => `Hier gerechnet: ${s(outputs, "Ausgabe", "Ausgaben")}, gleich in ` +
        `Schleifen und mit Unfold. PyTorch und float64 bewiesen ${shape}.`,
      unproved: (shape) => `Das Gezeigte wurde hier gerechnet. PyTorch und float64 bewiesen ${shape}.`,
      leftOut: (names) => ` Zu groß für die Datei und darum nicht darin: ${names.join(", ")}.`,
      wrong: (faults) => `DIESE SEITE WEICHT VOM BEWIESENEN AB. ${faults.join("; ")}. Ihren Zahlen ist nicht zu trauen.`,
      own: "Schleifen und Unfold geben hier Verschiedenes. Den Zahlen ist nicht zu trauen.",
      title: "Beweis", by: "Von convbench, mit torch, bevor diese Seite geschrieben wurde:", table: "Beweis von convbench",
      heads: ["gilt", "geprüft, und wogegen", "Zahlen", "max|Δ|"],
      not: (shape, seed) => `Dies ist nicht, was mit torch bewiesen wurde, als die Seite geschrieben wurde (${shape}, ` +
        `Startwert ${seed}, Nullen). Das Folgende ist innerhalb der Seite verglichen:`,
    },
    ran: {
      builds: (name, elements) => `Bei ${s(elements, "Element", "Elementen")} in einem Bild nimmt PyTorch ${name}: Es baut ` +
        "die Patch-Matrix wirklich und multipliziert, wie gezeigt.",
      direct: () => "Dies gibt PyTorch an oneDNN weiter: Es baut selbst keine Patch-Matrix.",
      left: "baut die Patch-Matrix", right: "oneDNN", elements: "Elemente des Bildes", least: "1 Element",
      most: "10 Millionen", all: "PyTorch baut die Patch-Matrix, wenn all dies gilt",
      tests: (spec, elements) => [`Batch von ${spec.n}, nötig ist 1`, `groups = ${spec.groups}`,
        `Kern ${spec.r}×${spec.s}, höchstens eine Seite über 3`, `${s(elements, "Element", "Elemente")}, höchstens 20.480`],
      size: (side, name) => `Die Größe des Bildes entscheidet: bis ${side}×${side} ist es ${name}, ab ` +
        `${side + 1}×${side + 1} oneDNN.`,
      told: (words) => TOLD.reduce((now, [english, german]) => now.replace(english, german), words),
      evidence: "Gesehen von convbench ran, als diese Seite geschrieben wurde", none: "Beim Schreiben dieser Seite wurde nichts beobachtet; convbench ran zeigt es.",
      seen: { fact: "gesehen", inference: "folgt", unknown: "unbekannt" },
      padded: "PyTorch füllt gegenüberliegende Seiten gleich und nur mit Nullen; darum wird x zuerst gefüllt.",
    },
    ways: {
      many: (name, products) => `${name} hat ${count(products)} Produkte; unter Verfahren rechnet jedes, wenn man es verlangt.`,
      notHere: (reason) => `Hier nicht: ${reason}`,
      counted: (points) => "Dieselben Zahlen mit jedem Verfahren. Gezählt für das ganze Problem wie im Terminal: " +
        "Multiplikationen und Additionen von x mit w; getrennt davon (Multiplikationen + Additionen) die Transformationen " +
        "von x und y, für jedes Bild, und von w, einmal; Speicher außer x, w und y in fp32. Winograds Kacheln haben hier " +
        `bis zu ${points} Punkte je Achse, im Terminal mehr.`,
      heads: ["Verfahren", "Multiplikationen", "Additionen", "Transformationen", "von w", "Speicher"],
      costs: "Was jedes Verfahren kostet",
      compute: (name, products) => `${name} so rechnen (${count(products)} Produkte)`,
      compared: (many) => `${s(many, "Zahl", "Zahlen")} mit den Schleifen verglichen`,
      rounds: " (ihre Einheitswurzeln sind nicht ganz, also rundet sie)",
      arithmetic: "Zeile κ von Spalte j findet man allein durch Rechnen; von der Matrix ist nichts gespeichert:",
      columnHeads: ["κ", "(c, kh, kw)", "(Zeile, Spalte)", "Adresse in x", "Wert"],
      column: "Eine Spalte der impliziten Matrix", zero: "keine: eine Null",
      afterEach: (c) => `y nach jedem Kernelement von Kanal ${c}, von null an:`,
      toeplitz: (rows, columns) => `${rows}×${columns}; Zeilen sind Ausgaben l, Spalten Pixel von x`,
      toeplitzRow: (l, many) => `Zeile l = ${l}: ${count(many)} nicht null, mal x als ein Vektor = `,
      tile: "Kachel", tileSize: "Ausgaben einer Kachel", usual: "wie üblich",
      points: (rows, columns) => `Stützstellen ${rows}${columns ? ` für Zeilen, ${columns} für Spalten` : ""}; exakte Brüche.`,
      tileAt: (place, many, channel) => `Kachel ${place} von ${many}, Kanal ${channel}:`,
      circular: (size) => `die ${size} zyklischen Werte`, wrapped: "~gestrichen~, wo der Kern über den Rand lief",
      corner: (size, strided) => `Auf ganze Zahlen gerundet; die gültige Ecke ist ${size}` +
        `${strided ? ", und die Schrittweite behält die Zellen auf gefülltem Grund" : ""}.`,
    },
    backward: {
      gradient: "Gradient der Ausgabe", label: "Gradient der Ausgabe, dY", terminalOnes: "wie --backward: Einsen",
      terminal: "wie --backward: gezogen aus −3..3, ohne 0", ones: "lauter Einsen",
      idea: "Rückwärts liest dieselben Produkte andersherum: Was sich in der Summe von y traf, bekommt den Gradienten von " +
        "y mal seinen Partner zurück.",
      none: "nichts liest es", overlaps: "Überlappungen, fold(unfold(1))",
      weights: (name, value) => `dW = dY · patchesᵀ: ${name} = Σ über b, oh, ow von dY · erste Zeile der Patches = ${value}`,
      fold: (name, value, sum, often) => "fold macht unfold nicht rückgängig: Es addiert jede Zahl so oft, wie sie gelesen " +
        `wurde. ${name} = ${value} käme als ${sum} zurück, ${often}-mal sie selbst. dX ist auch eine transponierte Faltung ` +
        "von dY mit w.",
    },
    quiz: {
      level: "Stufe", titles: ["Größen der Ausgabe und Summen von Produkten", "Schrittweite, Rand und Dehnung",
        "Patches, Gewichte und MACs", "Gradienten und Speicher"],
      question: (number) => `Frage ${number}.`, answer: "Antwort", check: "Prüfen", next: "Nächste Frage",
      right: "✓ Richtig.", wrong: "✗ Nicht ganz.", number: "Eine Zahl eingeben.", walk: "Dieses Problem durchgehen",
      outputs: "Ausgaben", output: "Ausgabe", score: (right, of) => `Bisher ${right} von ${of} richtig.`,
      problem: (spec) => `x hat ${times(spec.n, spec.c, spec.h, spec.w)}, w ${s(spec.k, "Filter", "Filter")} von ` +
        `${spec.r} × ${spec.s}; Schrittweite ${spec.stride.join(" × ")}, ${paddingWords(spec)}, Dehnung ` +
        `${spec.dilation.join(" × ")}.`,
      sides: ["oben", "unten", "links", "rechts"],
      size: (out, whole) => `Wie groß ist ${out}, die Größe der Ausgabe entlang ${whole}?`,
      positions: "An wie viele Positionen passt der Kern?",
      cell: (p, q) => `Was ist y[0,0,${p},${q}]?`,
      zeros: "; 0 ist Rand, wo der Kern außerhalb von x liegt",
      pixel: (p, q, r, c) => `Welche Zahl von x wird für y[0,0,${p},${q}] mit w[0,0,${r},${c}] multipliziert?`,
      place: (row, column, value) => `Zeile ${row}, Spalte ${column}: Dort ist ${value}`,
      entry: (j, l) => `Was steht in Zeile ${j}, Spalte ${l} der Patch-Matrix?`,
      entryWhy: (j, tap, l, output, pixel, outside) => `Zeile ${j} ist das Kernelement (c,kh,kw) = (${tap}), Spalte ${l} ` +
        `die Ausgabe (oh,ow) = (${output}): Sie liest ${pixel}${outside ? ", also Rand" : ""}`,
      readers: (row, column) => `Welche Ausgaben lesen x[0,0,${row},${column}]? Alle markieren, oder keine.`,
      readersWhy: (all) => (all.length ? `Diese lesen es: ${all.join(" ")}` : "Keine Ausgabe liest es: Schrittweite " +
        "oder Dehnung lässt es aus"),
      unread: (rows) => `Wie viele der ${rows} Zeilen von x liest keine Ausgabe?`,
      unreadWhy: (lines) => (lines.length ? `Nie gelesen: Zeile ${listed(lines)}; ${s(lines.length, ...LINES[0])}` :
        "Jede Zeile wird gelesen: 0 Zeilen bleiben aus"),
      macs: "Wie viele Multiplikationen mit Addition (MACs) sind es, die auf dem Rand mitgezählt?",
      overlap: (row, column) => `Alle Zahlen von w und dY sind 1: Was ist dX[0,0,${row},${column}]?`,
      overlapWhy: (row, rows, column, columns) => "Es zählt die Patches, die es lesen, wie fold(unfold(·)): Zeile " +
        `${row} wird ${rows}× gelesen, Spalte ${column} ${columns}×, also ${rows}·${columns} = ${rows * columns}`,
      gradient: (r, c) => `Alle Zahlen von dY sind 1: Was ist dW[0,0,${r},${c}]?`,
      gradientWhy: (sum) => `Jede Ausgabe gibt ihre 1 mal das Pixel, das dieses Gewicht traf: ${sum}`,
      bytes: "Wie viele Bytes hat die Patch-Matrix in fp32?",
      rows: "Wie viele Zeilen hat die Patch-Matrix?", weights: "Wie viele Gewichte hat w?",
    },
    complaints: {
      names: en.complaints.names,
      whole: (name, value) => `${name} muss eine ganze Zahl ab 1 sein, nicht ${value}.`,
      wholes: (name, least, values) => `${name} muss aus ganzen Zahlen ab ${least} bestehen, nicht ${values}.`,
      divide: (g, c, k, cTry, kTry) => `${g} Gruppen müssen die Kanäle (C_in = ${c}) und die Filter (C_out = ${k}) teilen; ` +
        `etwa C_in = ${cTry} und C_out = ${kTry}.`,
      reflect: (name, most, padding) => `reflect spiegelt höchstens ${name} - 1 = ${most} Zeilen, und der Rand ist ${padding}.`,
      circular: (name, most, padding) => `circular wiederholt höchstens ${name} = ${most} Zeilen, und der Rand ist ${padding}.`,
      noOutput: (kernel, image) => `Keine Ausgabe: Der gedehnte Kern ${kernel} ist größer als das gefüllte Bild ${image}; ` +
        "mehr Rand oder ein kleinerer Kern hilft.",
      padding: (given) => `Der Rand ist „${given}“: 1, oder 1x2 für Zeilen und Spalten, oder 1x2x0x1 für oben, unten, ` +
        "links und rechts.",
      problem: (given, example) => `Kein Problem: „${given}“; man schreibt es wie ${example}.`,
      part: (word, example) => `„_${word}“ ist kein Teil eines Problems; man schreibt es wie ${example}.`,
      twice: (part, given) => `${part} steht zweimal in „${given}“.`,
      large: "Eine Größe oder ein Rand über 4.096 ist mehr, als diese Seite zeigt.",
      products: (many, most) => `Die Ausgabe eines Filters bräuchte ${count(many)} Produkte; diese Seite antwortet sofort ` +
        `bis ${count(most)}. H, W oder C_in kleiner wählen.`,
      numbers: (many, most) => `Gefülltes x, w und y hätten ${count(many)} Zahlen; diese Seite zeigt bis ${count(most)}. ` +
        "N, C_in, C_out, H oder W kleiner wählen.",
      mode: (mode, modes) => `Rand ${mode}: zur Wahl stehen ${modes}.`,
      seed: "Der Startwert muss eine ganze Zahl von 0 bis 4.294.967.295 sein.",
      number: "Eine Zahl eingeben, höchstens 1.000.000.",
    },
  };

  convbench.languages.de = de;
})();
