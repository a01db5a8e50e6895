use super::{Message, Words};

pub(super) const WORDS: Words = Words {
    reference: "Kennung",
    application: "Anwendung",
    try_again: "Noch einmal versuchen",
    questions: "Fragen?",
    back_to: "Zurück zu",

    consent_title: "Zugriff erlauben?",
    consent_from: "Eine Anwendung von",
    consent_asks: "bittet um Zugriff",
    consent_unnamed: "Eine Anwendung bittet um Zugriff",
    changed_since_page: "Die Beschreibung der Anwendung oder die Regeln hier haben sich geändert, seit Sie gefragt wurden. Bitte sehen Sie noch einmal hin.",
    calls_itself: "Sie nennt sich",
    not_verified: "ihre eigenen Worte, von Ihrer Organisation nicht geprüft",
    name_withheld: "wird erst gezeigt, wenn Ihre Administration die Anwendung freigegeben hat",
    client_id: "Ihr Bezeichner",
    part_of: "Teil von",
    reads_as: "liest sich als",
    answer_goes_to: "Ihre Antwort geht an",
    this_computer: "diesen Computer",
    app_on_this_device: "eine App auf diesem Gerät",
    wants_to_use: "Sie möchte nutzen",
    signed_in_as: "Angemeldet als",
    not_you: "Sind Sie das nicht?",
    known_here: "Hier bekannt",
    approved: "von Ihrer Administration freigegeben",
    not_reviewed: "von Ihrer Administration nicht geprüft",
    nobody_yet: "niemand hat sie hier bisher genutzt",
    first_seen: "zuerst gesehen",
    will_be_able_to: "Sie kann dann",
    will_also_be_able_to: "Sie kann dann zusätzlich",
    keeps: "Sie behält, was Sie früher erlaubt haben",
    stays_connected: "verbunden bleiben, wenn Sie nicht da sind, bis Sie oder die Administration es beenden",
    allow: "Erlauben",
    deny: "Ablehnen",
    loopback_warning: "Jedes Programm auf diesem Computer könnte im Namen dieser Anwendung fragen. Erlauben Sie das nur, wenn Sie sie gerade selbst gestartet haben.",
    mixed_script_warning: "Diese Adresse mischt Buchstaben verschiedener Alphabete, wie Betrüger es tun. Vergleichen Sie sie Buchstabe für Buchstabe.",
    document_changed_warning: "Die Beschreibung der Anwendung hat sich geändert, seit Sie sie zuletzt erlaubt haben.",

    pending_why: "Wofür brauchen Sie sie? Ihre Administration liest das.",
    pending_send: "Absenden",
    pending_thanks: "Danke. Ihre Administration kann lesen, was Sie geschrieben haben.",
    pending_tool: "Für Ihre Administration",

    account_title: "Verbundene Anwendungen",
    account_intro: "Diese Anwendungen können für Sie handeln. Was Sie hier trennen, kann ab sofort nichts mehr tun.",
    account_none: "Keine Anwendung ist verbunden.",
    account_revoked: "Getrennt.",
    installation: "Wo",
    resource: "Für",
    scopes: "Darf",
    allowed: "Erlaubt",
    last_used: "Zuletzt genutzt",
    disconnect: "Trennen",
    disconnect_tool: "Überall trennen",
    disconnect_all: "Alle Anwendungen trennen",
    sign_out: "Abmelden",
};

pub(super) const fn message(message: Message) -> (&'static str, &'static str) {
    match message {
        Message::RequestBroken => (
            "Dieser Anmeldelink ist fehlerhaft",
            "Die Anwendung, die Sie hierher geschickt hat, hat eine unlesbare Anfrage gestellt. Gehen Sie zu ihr zurück und versuchen Sie es noch einmal. Hilft das nicht, sagen Sie es ihren Herstellern.",
        ),
        Message::FlowGone => (
            "Diese Seite ist abgelaufen",
            "Sie war zu lange offen, wurde schon beantwortet oder gehört zu einem anderen Browser. Gehen Sie zur Anwendung zurück und beginnen Sie von vorn.",
        ),
        Message::NobodySignedIn => (
            "Sie sind nicht angemeldet",
            "Die Anwendung wollte eine Antwort, ohne Ihnen eine Seite zu zeigen, aber Sie sind hier nicht angemeldet. Gehen Sie zu ihr zurück und verbinden Sie sich neu.",
        ),
        Message::FormRefused => (
            "Dieses Formular kann nicht angenommen werden",
            "Es kam nicht von der Seite, die wir Ihnen gezeigt haben. Nichts wurde erlaubt. Gehen Sie zur Anwendung zurück und beginnen Sie von vorn.",
        ),
        Message::AlreadyAnswered => (
            "Sie haben diese Anfrage schon beantwortet",
            "Ihre erste Antwort gilt. Gehen Sie zur Anwendung zurück.",
        ),
        Message::GroupNotAllowed => (
            "Sie dürfen diese Anwendung nicht nutzen",
            "Ihre Administration erlaubt sie nur einigen Gruppen, und Sie gehören zu keiner davon.",
        ),
        Message::ClientMalformed => (
            "Wir kennen diese Anwendung nicht",
            "Die Anwendung hat sich nicht so ausgewiesen, wie wir es annehmen. Bitten Sie Ihre Administration, sie einzutragen, und geben Sie die Angaben unten weiter.",
        ),
        Message::ClientUnknown => (
            "Wir kennen diese Anwendung nicht",
            "Niemand hat sie hier eingetragen. Bitten Sie Ihre Administration darum, und geben Sie die Angaben unten weiter.",
        ),
        Message::ClientInvalid => (
            "Diese Anwendung lässt sich nicht prüfen",
            "Die Beschreibung, die ihr Hersteller veröffentlicht, war nicht lesbar oder nicht in Ordnung. Nichts wurde erlaubt. Sagen Sie es den Herstellern, oder fragen Sie Ihre Administration.",
        ),
        Message::ToolPending => (
            "Diese Anwendung wartet auf Freigabe",
            "Die Administration muss sie freigeben, bevor jemand sie hier nutzen kann. Verbinden Sie sich danach noch einmal aus der Anwendung.",
        ),
        Message::DocumentHeld => (
            "Diese Anwendung hat sich geändert",
            "Was ihr Hersteller über sie veröffentlicht, hat sich in einem wichtigen Punkt geändert. Die Administration muss das ansehen, bevor jemand damit weitermachen kann.",
        ),
        Message::ToolDisabled => (
            "Diese Anwendung ist hier abgeschaltet",
            "Die Administration hat sie gesperrt. Wenn Sie sie brauchen, fragen Sie dort nach und nennen Sie die Kennung unten.",
        ),
        Message::ToolWithdrawn => (
            "Diese Anwendung wird nicht mehr angeboten",
            "Ihre Hersteller haben sie zurückgezogen. Fragen Sie Ihre Administration, was Sie stattdessen nutzen können.",
        ),
        Message::ClientUnreachable => (
            "Diese Anwendung kann gerade nicht geprüft werden",
            "Die Beschreibung, die ihr Hersteller veröffentlicht, war nicht erreichbar. Nichts wurde erlaubt. Versuchen Sie es in einer Minute noch einmal.",
        ),
        Message::RedirectUnknown => (
            "Diese Anwendung möchte die Antwort an eine unbekannte Adresse",
            "Die Adresse ist keine von denen, die ihr Hersteller veröffentlicht, deshalb schicken wir nichts dorthin. Sagen Sie es den Herstellern.",
        ),
        Message::RedirectKind => (
            "Diese Anwendung darf hier nicht auf diese Weise genutzt werden",
            "Die Regeln hier erlauben nicht, wie sie die Antwort bekommen möchte. Fragen Sie Ihre Administration.",
        ),
        Message::SignInDenied => (
            "Sie wurden nicht angemeldet",
            "Die Anmeldung wurde abgebrochen oder abgelehnt, oder sie war nicht stark genug. Versuchen Sie es noch einmal, oder gehen Sie zur Anwendung zurück.",
        ),
        Message::SignInInvalid => (
            "Sie wurden nicht angemeldet",
            "Die Antwort der Anmeldeseite konnte nicht angenommen werden. Versuchen Sie es noch einmal, oder gehen Sie zur Anwendung zurück und beginnen Sie von vorn.",
        ),
        Message::SignInUnavailable => (
            "Die Anmeldung ist gerade nicht möglich",
            "Der Dienst, der Sie anmeldet, antwortet nicht. Versuchen Sie es in einer Minute noch einmal.",
        ),
        Message::Ours => (
            "Hier funktioniert gerade etwas nicht",
            "Wir konnten das nicht zu Ende bringen. Nichts wurde geändert. Versuchen Sie es in einer Minute noch einmal.",
        ),
        Message::NotFound => (
            "Diese Seite gibt es nicht",
            "Die Adresse gehört nicht zu uns. Wenn ein Link Sie hierher geführt hat, sagen Sie es denen, die ihn gesetzt haben.",
        ),
        Message::TooMany => (
            "Zu viele Versuche",
            "Zu viele Adressen dieser Website wurden versucht, und keine führte zu einer Anwendung. Warten Sie eine Minute, und versuchen Sie es dann noch einmal.",
        ),
        Message::Crowded => (
            "Gerade fragen sehr viele",
            "So viele Menschen öffnen Anwendungen, dass für Sie nicht rechtzeitig Platz war. Versuchen Sie es in ein paar Sekunden noch einmal.",
        ),
        Message::Denied => (
            "Sie haben abgelehnt",
            "Nichts wurde erlaubt, und die Anwendung hat nicht erfahren, wer Sie sind. Sie können diese Seite schließen.",
        ),
        Message::SignedOut => (
            "Sie sind hier abgemeldet",
            "Die Anmeldung Ihrer Organisation erinnert sich vielleicht noch an Sie. Schließen Sie auf einem fremden Computer den Browser.",
        ),
    }
}
